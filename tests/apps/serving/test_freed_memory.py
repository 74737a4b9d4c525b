"""The heap is trimmed now and then while the service runs, where the C library can do it."""

from __future__ import annotations

import asyncio
import platform

import pytest
from fastapi.testclient import TestClient

from stylert.apps.serving import application, freed_memory
from stylert.apps.serving.application import create_app
from stylert.apps.serving.freed_memory import give_back_freed_memory
from stylert.runtime.generator import Generator


def test_it_trims_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(freed_memory, "_malloc_trim", lambda: calls.append)

    async def scene() -> None:
        trimming = asyncio.create_task(give_back_freed_memory(0))
        while len(calls) < 3:
            await asyncio.sleep(0.001)
        trimming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trimming

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert set(calls) == {0}


def test_it_ends_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "_malloc_trim", lambda: None)
    asyncio.run(asyncio.wait_for(give_back_freed_memory(), 20))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_has_it() -> None:
    trim = freed_memory._malloc_trim()
    assert trim is not None
    assert trim(0) in (0, 1)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes when the trimming begins and ends."""
    noted: list[str] = []

    async def note() -> None:
        noted.append("begins")
        try:
            await asyncio.Event().wait()
        finally:
            noted.append("ends")

    monkeypatch.setattr(application, "give_back_freed_memory", note)
    return noted


def test_it_runs_as_long_as_the_service(generator: Generator, running: list[str]) -> None:
    with TestClient(create_app(generator)) as client:
        assert client.get("/healthz").status_code == 200
        assert running == ["begins"]
    assert running == ["begins", "ends"]
