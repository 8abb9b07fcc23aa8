"""Runs a Python function app on one machine, without the Azure Functions Core Tools.

It takes the place of the Functions host: it reads `host.json` and the local settings, starts the storage
emulator Azurite, routes HTTP requests and fires the blob, queue and timer triggers. The app cannot tell the
difference.
"""
