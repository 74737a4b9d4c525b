"""A site in a browser: what `stylert web` writes, as its visitor sees it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from stylert.apps.web import Runtime, find_runtime, write_site
from stylert.apps.web.preview import make_server
from stylert.apps.web.runtime_files import VERSION
from stylert.tests.loading import load_file

VIEW = load_file(Path(__file__).parents[1] / "page_view.py")

Visited = Callable[..., Any]


@pytest.fixture(scope="session")
def runtime_folder(pytestconfig: pytest.Config) -> Path:
    """The files of onnxruntime-web, fetched by npm once into pytest's cache folder."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir(f"onnxruntime-web-{VERSION}")
    with FileLock(folder / "lock"):  # of the workers, one fetches them
        if not (folder / "whole").exists():
            if shutil.which("npm") is None:
                pytest.skip("no npm to fetch onnxruntime-web with (Debian: apt install npm)")
            for name, data in find_runtime("npm").items():
                (folder / name).write_bytes(data)
            (folder / "whole").touch()
    return folder


@pytest.fixture(scope="session")
def runtime(runtime_folder: Path) -> Runtime:
    return find_runtime(str(runtime_folder))


@pytest.fixture(scope="session")
def site_of(runtime: Runtime, exports: Path) -> Callable[[Path], Path]:
    """Gives the site of a bundle. To be read only."""

    def write(bundle: Path) -> Path:
        out = exports / "sites" / bundle.parent.name
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.with_name(f"{out.name}.lock")):
            if not out.exists():  # a site appears at once, and whole
                write_site(bundle, out, runtime)
        return out

    return write


@contextmanager
def serving(site: Path) -> Iterator[str]:
    """The server of `stylert web --serve`, in a thread of this process; gives the address."""
    with make_server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def visit(browser: Any, site_of: Callable[[Path], Path]) -> Iterator[Visited]:
    """Gives the page of a bundle's site with what an address says, and nothing else set."""
    with ExitStack() as stack:
        view = VIEW.View(browser)
        stack.callback(view.context.close)

        @cache
        def address_of(bundle: Path) -> str:
            return stack.enter_context(serving(site_of(bundle)))

        def start(bundle: Path, settings: str = "") -> Any:
            view.open(address_of(bundle))
            view.go_to(f"#{settings}")
            view.settled()
            return view

        yield start
        view.check()
