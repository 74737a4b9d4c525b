"""The files of the page, with their types; nothing outside of their folder can be named."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import Response

from stylert.apps.serving.generator_facts import PAGE

__all__ = ["page_file"]

# Not from `mimetypes`, which asks the machine.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


def page_file(name: str) -> Response:
    """The answer with a file of the page.

    Raises:
        HTTPException: there is no such file.
    """
    for path in PAGE.iterdir():
        if path.name == name and path.suffix in _TYPES:
            headers = {"content-type": _TYPES[path.suffix], "cache-control": "no-cache"}
            return Response(path.read_bytes(), headers=headers)
    raise HTTPException(404, "There is no such page.")
