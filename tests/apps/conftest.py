"""A generator that draws at once, and whose pictures show what they were drawn with; a browser."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.labels import Classes
from stylert.tests.loading import load_file

VIEW = load_file(Path(__file__).with_name("page_view.py"))
LAUNCHED = ExitStack()  # the browser and its driver


@cache
def launch() -> Any:
    """Chromium without a window."""
    return LAUNCHED.enter_context(VIEW.launched())


@pytest.fixture(scope="module")
def browser() -> Any:
    """One for all files in a row that use it: to start it takes seconds."""
    return launch()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the browser after them: its event loop is in the way of other tests' own."""
    if "browser" not in getattr(nextitem, "fixturenames", ()):
        launch.cache_clear()
        LAUNCHED.close()


class FakeGenerator:
    """Draws [N, H, W, C] of a seed, its class, and the seeds that are drawn with it.

    Like a real backend it rounds by the batch: a picture that is drawn in another one differs.
    """

    def __init__(self, *, size: int = 4, batch: int = 4, c_dim: int = 0, channels: int = 3) -> None:
        self.spec = GeneratorSpec(8, c_dim, 8, 4, channels, size, size, 0.5, 3)
        self.classes = Classes(c_dim)
        self.max_batch = batch
        self.bundle = SimpleNamespace(family="fake", manifest={"sha256": "0" * 64})
        self.drawn: list[int] = []  # every seed, as often as it was drawn

    def describe(self) -> dict[str, Any]:
        return {"backend": "fake", "version": "1", "choice": "none"}

    def generate(self, seeds: list[int], *, class_idx: Any = None, **_: Any) -> np.ndarray:
        assert len(seeds) <= self.max_batch
        self.drawn += seeds
        H, W, C = self.spec.img_height, self.spec.img_width, self.spec.img_channels
        by_seed = [seed % max(1, self.spec.c_dim) for seed in seeds]
        classes = np.broadcast_to(by_seed if class_idx is None else class_idx, len(seeds))
        images = np.empty((len(seeds), H, W, C), np.uint8)
        for image, seed, label in zip(images, seeds, classes, strict=True):
            image[:] = np.random.RandomState(seed).randint(0, 256, (H, W, C))
            image[0, 0] = (seeds[0] + 16 * len(seeds) + label) % 256
        return images

    def interrupt(self, after: int, error: BaseException) -> Callable[[int, int], None]:
        """Progress that raises an error, once so many images were drawn."""

        def raise_late(done: int, total: int) -> None:
            if len(self.drawn) >= after:
                raise error

        return raise_late


@pytest.fixture
def fake() -> type[FakeGenerator]:
    return FakeGenerator


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """All files below a folder, by their names."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read


@pytest.fixture(scope="session")
def members() -> Callable[[Path], dict[str, bytes]]:
    """The files of a data set, whatever holds them, by 'shard/name' or name."""
    return lambda out: dict(_members(out))


@pytest.fixture(scope="session")
def records(
    members: Callable[[Path], dict[str, bytes]],
) -> Callable[[Path], list[dict[str, Any]]]:
    """The lines of a data set's manifest."""
    return lambda out: [json.loads(line) for line in members(out)["manifest.jsonl"].splitlines()]


def _members(out: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a data set, whatever holds them, by 'shard/name' or name."""
    if out.is_file():
        with zipfile.ZipFile(out) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
        return
    for path in sorted(out.iterdir()):
        if path.suffix != ".tar":
            yield path.name, path.read_bytes()
            continue
        with tarfile.open(path) as shard:
            for member in shard:
                file = shard.extractfile(member)
                assert file is not None
                yield f"{path.name}/{member.name}", file.read()
