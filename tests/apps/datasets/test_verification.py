"""Data sets are compared with what was recorded: what is damaged, missing or surplus is named."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import (
    DatasetJob,
    DatasetReport,
    DatasetWriter,
    Seeds,
    check_complete,
    holds_dataset,
    reading,
    verify_dataset,
    write_dataset,
)

CONTAINERS = ("folder", "zip", "webdataset")
Change = Callable[[bytes], bytes]


def job(seeds: str = "0-9", **options: Any) -> DatasetJob:
    return DatasetJob(seeds=Seeds.parse(seeds), **options)


@pytest.fixture
def write(tmp_path: Path, fake: Any) -> Callable[..., Path]:
    def write(seeds: str = "0-9", **options: Any) -> Path:
        write_dataset(fake(), job(seeds, shard_size=4, **options), tmp_path / "out")
        return tmp_path / "out"

    return write


def change(path: Path, change: Change) -> None:
    path.write_bytes(change(path.read_bytes()))


def flip(data: bytes, place: int = -20) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def found(report: DatasetReport) -> tuple[list[str], list[str], list[str], list[int]]:
    assert report.is_whole == (not any((report.damaged, report.missing, report.surplus)))
    lists = [*report.damaged], [*report.missing], [*report.surplus]
    return *lists, [*report.places]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("threads", [None, 1, 4])
def test_a_whole_one(write: Any, container: str, threads: int | None) -> None:
    out = write("3-200,1", container=container)
    told: list[tuple[int, int]] = []
    report = verify_dataset(out, threads=threads, progress=lambda *counts: told.append(counts))
    assert found(report) == ([], [], [], [])
    assert report.is_whole
    assert report.to_json() == {
        "dataset": str(out),
        "images": 199,
        "is_whole": True,
        "damaged": [],
        "missing": [],
        "surplus": [],
    }
    assert told == [(64, 199), (128, 199), (192, 199), (199, 199)]


def test_images_of_a_folder(write: Any) -> None:
    out = write(layout="huggingface")
    change(out / "seed0002.png", flip)
    change(out / "seed0003.png", lambda data: data[:-1])
    change(out / "seed0004.png", lambda data: b"")
    (out / "seed0005.png").unlink()
    (out / "seed0006.png").unlink()
    (out / "seed0006.png").mkdir()
    (out / "below").mkdir()
    for name in ("seed0010.png", "seed00001.png", "cat.JPG", "below/a.webp", "dataset.json"):
        (out / name).write_bytes(b"mine")
    for name in ("notes.txt", "below/b.txt", ".hidden"):
        (out / name).write_bytes(b"mine")
    report = verify_dataset(out)
    assert found(report) == (
        ["seed0002.png", "seed0003.png", "seed0004.png"],
        ["seed0005.png", "seed0006.png"],
        ["below/a.webp", "cat.JPG", "dataset.json", "seed00001.png", "seed0010.png"],
        [2, 3, 4, 5, 6],
    )
    assert json.loads(json.dumps(report.to_json()))["missing"] == ["seed0005.png", "seed0006.png"]


@pytest.mark.parametrize("layout", ["huggingface", "stylegan"])
def test_the_labels_of_a_folder(write: Any, layout: str) -> None:
    out = write(layout=layout)
    name = {"huggingface": "metadata.jsonl", "stylegan": "dataset.json"}[layout]
    whole = (out / name).read_bytes()
    for damaged in (flip(whole, -5), whole[:-1], whole + b"\n", b""):
        (out / name).write_bytes(damaged)
        assert found(verify_dataset(out)) == ([name], [], [], [])
    (out / name).unlink()
    assert found(verify_dataset(out)) == ([], [name], [], [])


@pytest.mark.parametrize("container", ["folder", "webdataset"])
def test_the_manifest(write: Any, container: str) -> None:
    out = write(container=container)
    manifest = out / "manifest.jsonl"
    whole = manifest.read_bytes()
    lines = whole.splitlines(keepends=True)

    def damaged(*changed: bytes) -> tuple[list[str], list[str], list[str], list[int]]:
        manifest.write_bytes(b"".join(changed))
        return found(verify_dataset(out))

    third = "manifest.jsonl, line 3"
    wider = lines[2].replace(b'"width": 4', b'"width": 5')
    for line in (b"\n", b"", b"{}\n", b"\xff\n", b'{"a"}\n{}\n', wider, lines[2][:-2] + b" }\n"):
        assert damaged(*lines[:2], line, *lines[3:]) == ([third], [], [], [2])
    joined = lines[2].rstrip() + b"+" + lines[3]
    two = "manifest.jsonl, lines 3 to 4"
    for line in (b"\n\n", b"", joined):
        assert damaged(*lines[:2], line, *lines[4:]) == ([two], [], [], [2, 3])
    rest = "manifest.jsonl, lines 8 to 10"
    assert damaged(*lines[:7]) == ([rest], [], [], [7, 8, 9])
    assert damaged() == (["manifest.jsonl, lines 1 to 10"], [], [], [*range(10)])
    assert damaged(*lines, lines[3]) == (["manifest.jsonl"], [], [], [])
    assert damaged(*lines[:9], lines[9].rstrip()) == (["manifest.jsonl, line 10"], [], [], [9])


def test_samples_of_shards(write: Any) -> None:
    out = write(container="webdataset")
    whole = (out / "shard-000000.tar").read_bytes()
    for text in (b"000000002.png", b"\x89PNG", b'"seed": 2', b"000000002.json"):
        place = whole.index(text, whole.index(b"000000002.png")) + len(text) - 1
        (out / "shard-000000.tar").write_bytes(flip(whole, place))
        assert found(verify_dataset(out)) == (["shard-000000.tar/000000002.png"], [], [], [2])
    (out / "shard-000000.tar").write_bytes(flip(whole))  # behind the last sample
    assert found(verify_dataset(out)) == (["shard-000000.tar"], [], [], [3])
    (out / "shard-000000.tar").write_bytes(whole + b"more")
    assert found(verify_dataset(out)) == (["shard-000000.tar"], [], [], [3])
    (out / "shard-000000.tar").write_bytes(whole[: whole.index(b"000000002.png")])
    cut = [f"shard-000000.tar/00000000{seed}.png" for seed in (2, 3)]
    assert found(verify_dataset(out)) == (cut, [], [], [2, 3])
    (out / "shard-000000.tar").unlink()
    (out / "shard-000003.tar").write_bytes(b"")
    (out / "other.tar").write_bytes(b"")
    report = verify_dataset(out)
    surplus = ["other.tar", "shard-000003.tar"]
    assert found(report) == ([], ["shard-000000.tar"], surplus, [0, 1, 2, 3])


def test_a_damaged_size_hides_nothing_behind_it(write: Any) -> None:
    """Where the samples of a shard are follows from the sizes in the manifest."""
    out = write(container="webdataset")
    change(out / "manifest.jsonl", lambda data: data.replace(b'"bytes": ', b'"bytes": 9', 2))
    assert found(verify_dataset(out))[3] == [0, 1]


def test_entries_of_a_zip_file(write: Any, tmp_path: Path) -> None:
    out = write(container="zip", layout="stylegan")
    other = tmp_path / "other"
    shutil.copy(out, other)
    with zipfile.ZipFile(out) as archive:
        offsets = {info.filename: info.header_offset for info in archive.infolist()}
        line = offsets["manifest.jsonl"] + 30 + archive.read("manifest.jsonl").index(b'"seed": 7')
    for name in ("seed0002.png", "seed0005.png"):
        change(out, lambda data, name=name: flip(data, offsets[name] + 60))  # type: ignore[misc]
    change(out, lambda data: flip(data, line + len("manifest.jsonl") + 2))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("mine.txt", "mine")
    assert found(verify_dataset(out)) == (
        ["seed0002.png", "seed0005.png", "manifest.jsonl, line 8"],
        [],
        ["mine.txt"],
        [2, 5, 7],
    )
    for name, places in (
        ("seed0003.png", [3]),
        ("dataset.json", []),
        ("manifest.jsonl", [*range(10)]),
    ):
        whole = other.read_bytes()
        other.unlink()
        with zipfile.ZipFile(io.BytesIO(whole)) as there, zipfile.ZipFile(other, "w") as left:
            for info in there.infolist():
                if info.filename != name:
                    left.writestr(info, there.read(info.filename))
        assert found(verify_dataset(other)) == ([], [name], [], places)
        other.write_bytes(whole)


def test_a_disk_that_has_lost_a_part(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write()
    split = reading.split

    def fail(file: Any, size: int) -> Any:
        if file.name.endswith("seed0004.png"):
            raise OSError(number, "of the disk", file.name)
        return split(file, size)

    monkeypatch.setattr("stylert.apps.datasets.folder.split", fail)
    number = errno.EIO
    assert found(verify_dataset(out)) == (["seed0004.png"], [], [], [4])
    number = errno.EACCES
    with pytest.raises(OSError, match="of the disk"):
        verify_dataset(out)


def test_what_is_no_complete_data_set(tmp_path: Path, fake: Any, refuses: Any, write: Any) -> None:
    for name in ("nothing", "empty"):
        with refuses(f"{tmp_path / name} is no data set: got no job.json"):
            verify_dataset(tmp_path / name)
        assert not holds_dataset(tmp_path / name)
        (tmp_path / "empty").mkdir(exist_ok=True)
    (tmp_path / "empty" / "manifest.json").write_text("{}")  # that of a bundle
    assert not holds_dataset(tmp_path / "empty")
    for container in CONTAINERS:
        place = tmp_path / container
        DatasetWriter(fake(), job(container=container), place).start()
        assert holds_dataset(place)
        lacks = "is still the folder zip.partial" if container == "zip" else "has no manifest.jsonl"
        for refused in (verify_dataset, check_complete):
            with refuses(f"{place} {lacks}, so it is not complete. Write it to its end"):
                refused(place)
    (tmp_path / "empty" / "job.json").write_text("{}")  # of another program
    check_complete(tmp_path / "empty")
    out = write()
    assert holds_dataset(out)
    with refuses("threads: got 0, expected an integer of 1 to 1024"):
        verify_dataset(out, threads=0)
    for old, new in ((b'"images": 10', b'"images": 11'), (b'"png"', b'"bmp"'), (b"{", b"[")):
        whole = (out / "job.json").read_bytes()
        (out / "job.json").write_bytes(whole.replace(old, new, 1))
        with refuses(f"{out}: its job.json is damaged. The data set has to be drawn again."):
            verify_dataset(out)
        (out / "job.json").write_bytes(whole)
    (out / "job.json").unlink()
    assert holds_dataset(out)
    with refuses(f"{out} is no data set: got no job.json"):
        verify_dataset(out)


@pytest.mark.parametrize("left", [0.3, 0.99])
def test_a_zip_file_that_is_cut_off(write: Any, refuses: Any, left: float) -> None:
    out = write(container="zip")
    change(out, lambda data: data[: int(len(data) * left)])
    assert holds_dataset(out)
    with refuses(f"{out}: its directory is damaged, or its end is cut off"):
        verify_dataset(out)


def test_a_stranger_may_claim_any_number_of_images(write: Any) -> None:
    out = write("0-5")

    def claim(data: bytes) -> bytes:
        told = json.loads(data)
        told["images"], told["settings"]["seeds"] = 1 << 32, f"0-{(1 << 32) - 1}"
        return (json.dumps(told, indent=1) + "\n").encode()

    change(out / "job.json", claim)
    change(out / "seed0001.png", flip)
    report = verify_dataset(out)
    assert report.damaged == ("seed0001.png", f"manifest.jsonl, lines 7 to {1 << 32}")
    assert len(report.places) == (1 << 32) - 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("put", [os.mkdir, getattr(os, "mkfifo", os.mkdir)])
@pytest.mark.parametrize(
    ("container", "name", "places"),
    [("folder", "seed0002.png", [2]), ("webdataset", "shard-000000.tar", [0, 1, 2, 3])],
)
def test_a_stranger_may_put_anything_in_the_place_of_a_file(
    write: Any, put: Callable[[Path], None], container: str, name: str, places: list[int]
) -> None:
    out = write(container=container)
    (out / name).unlink()
    put(out / name)  # who opens a pipe waits for ever
    assert found(verify_dataset(out)) == ([], [name], [], places)


@pytest.mark.parametrize("container", CONTAINERS)
def test_memory_does_not_grow_with_the_images(tmp_path: Path, fake: Any, container: str) -> None:
    def peak(images: int) -> int:
        described = DatasetJob(
            seeds=Seeds.of(range(images)), container=container, image_format="jpeg", shard_size=100
        )
        drawer = fake(size=1, batch=16)
        drawer.generate = lambda seeds, **_: np.zeros((len(seeds), 1, 1, 3), np.uint8)
        write_dataset(drawer, described, tmp_path / str(images), encoders=2)
        tracemalloc.start()
        try:
            verify_dataset(tmp_path / str(images), threads=2)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # the modules that are loaded on the way
    directory = 400 * 700 if container == "zip" else 0  # of which `zipfile` keeps all
    assert peak(500) < peak(100) + 100_000 + directory
