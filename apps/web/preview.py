"""A site on this machine, with the two headers that let a browser use several threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["THREAD_HEADERS", "make_server", "serve_site"]

# Pages with both may share memory between threads (the HTML standard, "cross-origin isolation").
THREAD_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class _Handler(SimpleHTTPRequestHandler):
    # Not from `mimetypes`, which asks the machine.
    extensions_map = {  # noqa: RUF012  (of the base class)
        "": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        for name, value in THREAD_HEADERS.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the browser shows what is missing."""


def serve_site(folder: Path, *, port: int, ready: Callable[[str], None]) -> None:
    """Serve a folder to this machine alone, until Ctrl-C.

    Args:
        folder: that `write_site` wrote.
        port: to listen at; 0 = any that is free.
        ready: is told the address.

    Raises:
        OSError: the port is taken.
    """
    with make_server(folder, port) as server:
        ready(f"http://localhost:{server.server_address[1]}/")
        server.serve_forever()


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder that listens already; see `serve_site`."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
