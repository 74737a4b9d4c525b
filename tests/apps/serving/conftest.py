"""What the tests of the service share: clients inside the process, and a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from stylert.apps.serving.application import create_app
from stylert.apps.serving.server import bind, make_server
from stylert.apps.serving.settings import Settings
from stylert.runtime.generator import Generator


@pytest.fixture(scope="module")
def client(generator: Generator) -> Iterator[TestClient]:
    """Of an unconditional generator, without a network."""
    with TestClient(create_app(generator)) as opened:
        yield opened


@pytest.fixture(scope="module")
def conditional_client(conditional: Generator) -> Iterator[TestClient]:
    """Of a generator with five classes, without a network."""
    with TestClient(create_app(conditional)) as opened:
        yield opened


@pytest.fixture(scope="session")
def server() -> Callable[..., Any]:
    """Serves an application or a generator on a free port; gives the port."""

    @contextmanager
    def running(served: Any, settings: Settings | None = None) -> Iterator[int]:
        settings = settings or Settings()
        app = create_app(served, settings) if isinstance(served, Generator) else served
        listening = bind("127.0.0.1", 0)
        started = make_server(app, settings)
        thread = threading.Thread(target=started.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not started.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.005)
            yield listening.getsockname()[1]
        finally:
            started.should_exit = True
            thread.join(30)
            listening.close()
        assert not thread.is_alive()

    return running
