"""What keeps the local host from starting."""

from __future__ import annotations


class StartUpError(Exception):
    """The service cannot start; the message is one sentence for the person who started it."""
