"""Checks Bicep files without the Bicep compiler, against the resource models that Microsoft publishes.

It knows the syntax (tree-sitter), names, modules, and for each resource whether its type, API version and properties
exist, are of the right type, may be written, and are all that is required. It does not know the types of most
expressions, the rules of a deployment, or what was added to the language after 2024.
"""
