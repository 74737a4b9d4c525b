"""What is no argument at all is refused in one line of ours, and not in one of NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stylert
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset
from stylert.apps.projection import ProjectionSettings, read_photos
from stylert.apps.projection.task import to_img
from stylert.apps.video import write_video
from stylert.runtime import Generator
from stylert.runtime.images import save_image

HUGE: Any = np.zeros((2, 3, 4, 5, 6), np.float32)
RAGGED: Any = [np.zeros(3), np.zeros(2)]
NO_TEXT: Any = 3

Call = Callable[[Generator, Path], object]
CASES: list[tuple[Call, str]] = [
    (lambda g, path: Seeds.parse(NO_TEXT), "seeds: got 3, expected a list such as"),
    (lambda g, path: ProjectionSettings(rate=HUGE), "rate: got array([[["),
    (lambda g, path: ProjectionSettings(release=HUGE), "release: got array([[["),
    (lambda g, path: ProjectionSettings(release=NO_TEXT), "release: got 3, expected a share"),
    (lambda g, path: read_photos([], g.spec), "paths: got none, expected at least one picture"),
    (lambda g, path: to_img(RAGGED, g), "images: got a ragged list, expected uint8 ('N', 32,"),
    (lambda g, path: write_video([RAGGED], path / "x.gif"), "frame 0: got a ragged list, expected"),
    (lambda g, path: write_video(HUGE, path / "x.gif"), "frame 0: got float32 (3, 4, 5, 6)"),
    (
        lambda g, path: save_image(RAGGED, path / "x.png"),
        "image: got a ragged list, expected uint8",
    ),
    (lambda g, path: g.generate([1], noise_mode=HUGE), "noise_mode: got array([[["),
]


@pytest.mark.parametrize(("call", "words"), CASES)
def test_it_is_refused(
    call: Call, words: str, generator: Generator, tmp_path: Path, refuses: Any
) -> None:
    with refuses(words):
        call(generator, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["backend", "provider", "precision"])
@pytest.mark.parametrize("value", [HUGE, [], {}, 3, np.zeros(0)])
def test_names_are_texts(name: str, value: Any, bundle: Path, refuses: Any) -> None:
    with refuses(f"{name}: got ", "expected its name."):
        stylert.open(bundle, **{name: value})
    with refuses("device: got "):
        stylert.open(bundle, device=value)


@pytest.mark.parametrize("name", ["workers", "encoders"])
def test_more_threads_than_there_can_be(
    name: str, generator: Generator, tmp_path: Path, refuses: Any
) -> None:
    job = DatasetJob(seeds=Seeds.of(1))
    threads: Any = {name: 10**30}
    with refuses(f"{name}: got ", "expected an integer of 1 to 1024"):
        write_dataset(generator, job, tmp_path / "out", **threads)
