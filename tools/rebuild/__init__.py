"""Rebuilds the record and the index of an account from its blobs (docs/operations.md)."""
