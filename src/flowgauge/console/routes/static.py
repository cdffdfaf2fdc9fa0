# SPDX-License-Identifier: Apache-2.0
"""The built page: hashed files for ever, ``index.html`` never cached. Without a build: a page that says how to make one."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException

BUILT = Path(__file__).parents[1] / "static" / "app"

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
"""Not left to the machine's tables: browsers refuse a script with another type (nosniff)."""

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Flowgauge</title>
<h1>The console is not built</h1><p>Build it with <code>make ui</code> and reload this page.
The API answers all the same: <a href="/api/v1/status">status</a>, <a href="/api/openapi.json">reference</a>.</p></html>"""


def router(folder: Path) -> APIRouter:
    """Routes that serve ``folder``; registered last, for they take every path that is left."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/{path:path}", methods=["GET", "HEAD"])
    def page(path: str) -> Response:
        if path.startswith("api/"):
            raise HTTPException(404, "no such API path; GET /api/openapi.json lists them")
        return _file(folder, path)

    return routes


def _file(folder: Path, path: str) -> Response:
    """A file of the build, or the page itself for its own addresses (``/traffic``)."""
    wanted = _inside(folder, path)
    if wanted is not None and wanted.name != "index.html":
        caching = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        return FileResponse(wanted, media_type=_type(wanted), headers={"Cache-Control": caching})
    if Path(path).suffix:
        raise HTTPException(404, "no such file")
    index = folder / "index.html"
    if not index.is_file():
        return HTMLResponse(_NOT_BUILT, 503, {"Cache-Control": "no-store"})
    return FileResponse(index, media_type="text/html", headers={"Cache-Control": "no-cache"})


def _inside(folder: Path, path: str) -> Path | None:
    """The file at ``path`` below ``folder``; None when there is none, or no file can have such a name."""
    try:
        wanted = (folder / path).resolve()
        return wanted if wanted.is_relative_to(folder.resolve()) and wanted.is_file() else None
    except (ValueError, OSError):  # a zero byte, a name that is too long
        return None


def _type(file: Path) -> str:
    return _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
