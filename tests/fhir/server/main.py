"""Serves SEKMET, a FHIR R4 server, with its data in memory; the last word that it prints is the URL.

It runs in an environment of its own, in which its packages are.
"""

from __future__ import annotations

import logging
import socket

import uvicorn
from sekmet.config import Settings, SimulatorSettings
from sekmet.main import create_app


def main() -> None:
    """Serve on a free port until a signal ends it."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    settings = Settings(
        base_url=url, db_path=":memory:", simulator=SimulatorSettings(enabled=False), log_inbound=False
    )
    application = create_app(settings)
    logging.disable(logging.INFO)
    print("FHIR server at", url, flush=True)
    uvicorn.Server(uvicorn.Config(application, access_log=False, log_level="warning")).run([listening])


if __name__ == "__main__":
    main()
