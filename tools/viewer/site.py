"""The viewer's files over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tools.viewer import configuration

FILES = Path(".tools") / "viewer" / "dist"
"""Where the set-up puts the viewer."""

_ISOLATED = {
    # Only an isolated page may share memory with its workers, which is how OHIF fills a volume.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}


@asynccontextmanager
async def serve(files: Path, service: str, host: str, port: int) -> AsyncIterator[str]:
    """Serve the viewer for a service; its URL. Port 0 is any free one."""
    application = _application(files.resolve(), service)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address, port = runner.addresses[0][:2]
        yield f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
    finally:
        await runner.cleanup()


def _application(files: Path, service: str) -> web.Application:
    script = configuration.script(service)

    async def configure(_: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript", headers=_ISOLATED)

    async def answer(request: web.Request) -> web.StreamResponse:
        """A file; for a path that is one of the viewer's pages, the page that they all are."""
        path = request.match_info["path"]
        file = (files / path).resolve() if Path(path).suffix else files / "index.html"
        if not (file.is_relative_to(files) and file.is_file()):
            raise web.HTTPNotFound
        return web.FileResponse(file, headers=_ISOLATED)

    application = web.Application()
    application.router.add_get("/app-config.js", configure)
    application.router.add_get("/{path:.*}", answer)
    return application
