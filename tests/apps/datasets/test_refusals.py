"""Data sets: what is in the way, what does not fit, and who else is writing."""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import DatasetJob, DatasetWriter, Seeds, write_dataset
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.generator import Generator

CONTAINERS = ("folder", "zip", "webdataset")
Contents = Callable[[Path], dict[str, bytes]]


def job(seeds: str = "0-6", **options: Any) -> DatasetJob:
    drawing = {k: options.pop(k) for k in [*options] if k in DrawingOptions.__annotations__}
    return DatasetJob(seeds=Seeds.parse(seeds), options=drawing, **options)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("complete", [True, False])
def test_another_job_is_refused_by_what_differs(
    tmp_path: Path, fake: Any, refuses: Any, contents: Contents, container: str, complete: bool
) -> None:
    out = tmp_path / "out.zip"
    drawer = fake(c_dim=3)
    first = DatasetWriter(drawer, job(container=container, class_idx=1), out)
    first.start()
    if complete:
        first.write()
        first.finish()
    before = contents(tmp_path)

    def differs(*words: str, seeds: str = "0-6", by: Any = drawer, **options: Any) -> None:
        with refuses(str(out), " holds another job: ", *words, "Pass force=True to start over"):
            write_dataset(by, job(seeds, container=container, class_idx=1, **options), out)
        assert contents(tmp_path) == before

    differs("images 7, now 8; seeds '0-6', now '0-7'", seeds="0-7")
    differs("truncation_psi 0.5, now 0.7", truncation_psi=0.7)
    differs("image_format 'png', now 'jpeg'; quality None, now 95", image_format="jpeg")
    differs("batch 4, now 2", by=fake(batch=2, c_dim=3))
    other = fake(c_dim=3)
    other.bundle.manifest["sha256"] = "1" * 64
    differs("bundle.sha256 '000", "now '111", by=other)


@pytest.mark.parametrize("container", CONTAINERS)
def test_force_starts_over_and_leaves_what_is_not_ours(
    tmp_path: Path, fake: Any, contents: Contents, container: str
) -> None:
    described = job("2-4", container=container, shard_size=2)
    write_dataset(fake(), described, tmp_path / "fresh" / "out")
    out = tmp_path / "old" / "out"
    write_dataset(fake(), job("0-9", container=container, shard_size=2), out)
    beside = out if out.is_dir() else out.parent
    for name in ("notes.txt", "seed0001.jpg", "seed0099.png"):
        (beside / name).write_text("mine")
    write_dataset(fake(), described, out, force=True)
    for name in ("notes.txt", "seed0001.jpg", "seed0099.png"):
        (beside / name).unlink()
    assert contents(tmp_path / "old") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("container", CONTAINERS)
def test_files_of_others_are_in_the_way(
    tmp_path: Path, fake: Any, refuses: Any, container: str, members: Any
) -> None:
    taken = {"folder": "seed0003.png", "webdataset": "shard-000007.tar", "zip": "out"}[container]
    out = tmp_path / "out"
    file = out if container == "zip" else out / taken
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    described = job(container=container)
    with refuses(f"{file} exists. Pass force=True to replace it, or choose another name."):
        write_dataset(fake(), described, out)
    assert file.read_text() == "mine"
    write_dataset(fake(), described, out, force=True)
    assert members(out)["job.json"]


@pytest.mark.parametrize("size", [1 << 20, 1 << 31])
def test_a_zip_file_of_others_that_claims_to_be_ours(
    tmp_path: Path, fake: Any, refuses: Any, size: int
) -> None:
    numbers = (20, 0, 0, 0, 33, 0, size, size, 8, 0)
    header = struct.pack("<4s5H3I2H", b"PK\3\4", *numbers) + b"job.json"
    (tmp_path / "out").write_bytes(header + b"{}")
    with refuses(f"{tmp_path / 'out'}"):
        write_dataset(fake(), job(container="zip"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_came_into_the_place_of_the_zip_file(
    tmp_path: Path, fake: Any, refuses: Any, members: Any
) -> None:
    out = tmp_path / "out"
    writer = DatasetWriter(fake(), job(container="zip"), out)
    writer.start()
    writer.write()
    out.write_text("mine")
    with refuses(f"{out} exists by now. Move it, and run this again."):
        writer.finish()
    assert out.read_text() == "mine"
    out.unlink()
    writer.finish()
    assert len(members(out)) == 9


def test_other_files_of_a_folder_are_not_in_the_way(tmp_path: Path, fake: Any) -> None:
    for name in ("seed0007.png", "seed0003.jpg", "seed3.png", "notes.txt"):
        (tmp_path / name).write_text("mine")
    write_dataset(fake(), job("0-6"), tmp_path)
    assert (tmp_path / "seed0007.png").read_text() == "mine"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_two_processes_are_kept_apart(
    tmp_path: Path, fake: Any, refuses: Any, contents: Contents, container: str
) -> None:
    described, other = job(container=container), job("0-9", container=container)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "both" / "out"
    started, go_on = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        started.set()
        go_on.wait(30)

    first = threading.Thread(
        target=write_dataset, args=(fake(), described, out), kwargs={"progress": wait}
    )
    first.start()
    started.wait(30)
    for second, force in ((described, False), (described, True), (other, True)):
        with refuses("another process is writing this data set. Wait for it, or choose another"):
            write_dataset(fake(), second, out, force=force)
    go_on.set()
    first.join(30)
    assert contents(tmp_path / "both") == contents(tmp_path / "whole")


@pytest.mark.parametrize("container", CONTAINERS)
def test_another_process_starts_while_this_one_draws(
    tmp_path: Path, fake: Any, refuses: Any, contents: Contents, container: str
) -> None:
    """Between the look at the place and the start there is the first batch."""
    described, other = job(container=container), job("0-9", container=container)
    for name, theirs in (("same", described), ("another", other)):
        out = tmp_path / name / "out"
        drawer = fake()
        draw, begin = drawer.generate, DatasetWriter(fake(), theirs, out).start

        def generate(
            *arguments: Any, draw: Any = draw, begin: Any = begin, **options: Any
        ) -> np.ndarray:
            begin()
            images: np.ndarray = draw(*arguments, **options)
            return images

        drawer.generate = generate
        writer = DatasetWriter(drawer, described, out)
        if name == "same":
            writer.start()
            continue
        with refuses(" holds another job: images 10, now 7; "):
            writer.start()
        before = contents(tmp_path / name)
        with refuses(" holds another job: images 10, now 7; "):
            writer.write()
        assert contents(tmp_path / name) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"container": "rar"}, "container: got 'rar', expected one of"),
        ({"container": None}, "container: got None, expected one of"),
        ({"image_format": "bmp"}, "image_format: got 'bmp', expected one of"),
        ({"shard_size": 0}, "shard_size: got 0, expected an integer of at least 1"),
        ({"quality": 101, "image_format": "webp"}, "quality: got 101, expected an integer of 1 to"),
        ({"quality": 50}, "quality: got one for PNG"),
        ({"compression": 10}, "compression: got 10"),
        ({"compression": 1, "image_format": "jpeg"}, "compression: got one for jpeg"),
        ({"truncation_psi": [0.5, 0.7]}, "truncation_psi: got (0.5, 0.7), expected one number"),
        ({"truncation_psi": True}, "truncation_psi: got True, expected one number"),
        ({"truncation_psi": 10**400}, "truncation_psi: got 1000"),
        ({"truncation_psi": {"all": "1"}}, "truncation_psi: got '1', expected one number"),
        ({"labels": {3: 1.0}, "class_idx": None}, "labels: got 3, expected"),
        ({"class_idx": 3}, "class_idx: got 3, expected 0 to 2"),
        ({"class_idx": (0, 3)}, "class_idx: got 3, expected 0 to 2"),
        ({"class_idx": ()}, "class_idx: got none"),
        ({"class_idx": "cat"}, "class_idx: got 'cat', expected 0 to 2"),
        ({"noise": {}}, "noise: got arrays, expected a noise_mode"),
        ({"labels": (1, 0)}, "class_idx, labels: got both"),
        ({"image_format": "jpeg"}, "image_format: got jpeg for images of 4 channels, expected png"),
    ],
)
def test_jobs_that_do_not_fit(
    tmp_path: Path, fake: Any, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message):
        write_dataset(
            fake(c_dim=3, channels=4), job(**{"class_idx": 0} | options), tmp_path / "out"
        )
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_places_that_do_not_fit(tmp_path: Path, fake: Any, refuses: Any, container: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "folder").mkdir()
    wrong = tmp_path / "folder" if container == "zip" else file
    with refuses(f"{wrong} is a {wrong.name}, expected the name of a "):
        write_dataset(fake(), job(container=container), wrong)
    with pytest.raises(NotADirectoryError):
        write_dataset(fake(), job(container=container), file / "below")
    assert file.read_text() == "mine"
    assert not os.listdir(tmp_path / "folder")


def test_a_generator_that_refuses_leaves_nothing(
    tmp_path: Path, generator: Generator, refuses: Any, members: Any
) -> None:
    write_dataset(generator, job("0-2"), tmp_path / "there")
    before = members(tmp_path / "there")
    for out in (tmp_path / "new", tmp_path / "there"):
        with refuses("noise_mode: got 'wild'"):
            write_dataset(generator, job(noise_mode="wild"), out, force=True)
    assert not (tmp_path / "new").exists()
    assert members(tmp_path / "there") == before
