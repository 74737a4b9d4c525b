"""The page in a browser: Chromium shows what the service of `stylert serve` gives it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.serving.application import create_app
from stylert.apps.serving.server import bind, make_server
from stylert.apps.serving.settings import Settings
from stylert.apps.words import Pair
from stylert.runtime.generator import Generator
from stylert.tests.loading import load_file

VIEW = load_file(Path(__file__).parents[2] / "page_view.py")

Serve = Callable[..., str]
Started = Callable[..., Any]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serves a bundle on a free port for the rest of these tests; gives the page's address."""
    with ExitStack() as stack:

        @cache
        def address_of(bundle: Path, token: str | None = None, clip: Path | None = None) -> str:
            return stack.enter_context(serving(bundle, token, clip))

        yield address_of


@contextmanager
def serving(bundle: Path, token: str | None, clip: Path | None) -> Iterator[str]:
    """The service of `stylert serve`, in a thread of this process."""
    settings = Settings(token=token)
    pair = None if clip is None else Pair.open(clip, threads=1)
    with Generator.open(bundle, provider="cpu") as generator, bind("127.0.0.1", 0) as listening:
        server = make_server(create_app(generator, settings, pair=pair), settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def only_view(browser: Any) -> Iterator[Any]:
    """One window for all tests: to open another takes a second or two."""
    one = VIEW.View(browser)
    yield one
    one.context.close()


@pytest.fixture
def started(only_view: Any, serve: Serve, bundle: Path) -> Iterator[Started]:
    """Gives the page of a bundle with what an address says, and nothing else set."""

    def start(settings: str = "", *, of: Path | None = None, clip: Path | None = None) -> Any:
        only_view.open(serve(of or bundle, None, clip))
        only_view.page.evaluate("() => document.activeElement.blur()")
        only_view.go_to(f"#{settings}")
        only_view.settled()
        return only_view

    yield start
    only_view.page.unroute_all()
    only_view.resize(VIEW.DESKTOP)
    only_view.check()
