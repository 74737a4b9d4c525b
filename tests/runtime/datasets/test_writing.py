"""Data sets: what is in them, what goes on, what is refused, and that memory stays flat."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.runtime.datasets import DatasetJob, DatasetWriter, Seeds, write_dataset
from stylert.runtime.datasets.shard import Shard
from stylert.runtime.generator import Generator

CONTAINERS = ("folder", "zip", "webdataset")
Contents = Callable[[Path], dict[str, bytes]]


def job(seeds: str = "0-6", **options: Any) -> DatasetJob:
    return DatasetJob(seeds=Seeds.parse(seeds), **options)


def members(out: Path) -> Iterator[tuple[str, bytes]]:
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


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dict(members(out))["manifest.jsonl"].splitlines()]


# --- What is in them.


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("image_format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")]
)
def test_the_manifest_tells_of_every_image(
    tmp_path: Path, fake: Any, container: str, image_format: str, kind: str
) -> None:
    drawer = fake(batch=3, c_dim=5)
    options = {"container": container, "image_format": image_format, "shard_size": 4}
    described = job("3-8,1", class_idx=(0, 1, 4), noise_mode="seeded", **options)
    result = write_dataset(drawer, described, tmp_path / "out")
    assert (result.images, result.drawn) == (7, 7)
    files = dict(members(tmp_path / "out"))
    found = records(tmp_path / "out")
    assert [record["seed"] for record in found] == [3, 4, 5, 6, 7, 8, 1] == drawer.drawn
    assert [record["class_idx"] for record in found] == [0, 1, 4, 0, 1, 4, 0]
    for record in found:
        name = "/".join(filter(None, [record.get("shard"), record["file"]]))
        data = files[name]
        assert record["sha256"] == hashlib.sha256(data).hexdigest()
        assert record["bytes"] == len(data)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == kind
            assert image.size == (record["width"], record["height"]) == (4, 4)
        assert record["noise_seed"] == record["seed"]
        assert (record["truncation_psi"], record["truncation_cutoff"]) == (0.5, 3)  # the family's
    told = json.loads(files["job.json"])
    assert (told["images"], told["settings"]["seeds"]) == (7, "3-8,1")
    assert told["bundle"]["sha256"] == "0" * 64


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_pixels_are_the_generators(
    tmp_path: Path, generator: Generator, container: str
) -> None:
    write_dataset(generator, job("5-9", container=container, truncation_psi=0.7), tmp_path / "out")
    expected = generator.generate(range(5, 10), truncation_psi=0.7)
    files = dict(members(tmp_path / "out"))
    for record, image in zip(records(tmp_path / "out"), expected, strict=True):
        name = "/".join(filter(None, [record.get("shard"), record["file"]]))
        with Image.open(io.BytesIO(files[name])) as written:
            assert np.array_equal(np.asarray(written), image)


def test_samples_are_webdatasets(tmp_path: Path, fake: Any) -> None:
    options = {"container": "webdataset", "shard_size": 2, "image_format": "jpeg"}
    write_dataset(fake(c_dim=3), job("8-9,1234567890", class_idx=2, **options), tmp_path)
    with tarfile.open(tmp_path / "shard-000000.tar") as shard:
        infos = shard.getmembers()
        assert [info.name for info in infos] == [
            f"00000000{seed}.{kind}" for seed in (8, 9) for kind in ("jpg", "json", "cls")
        ]
        for info in infos:  # of nobody, at no time
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert info.mode == 0o644
        line = shard.extractfile("000000009.json")
        label = shard.extractfile("000000009.cls")
        assert line is not None
        assert label is not None
        assert json.loads(line.read()) == records(tmp_path)[1]
        assert label.read() == b"2"
    for path in tmp_path.glob("*.tar"):
        assert path.stat().st_size % tarfile.RECORDSIZE == 0


def test_labels_are_told_instead_of_a_class(tmp_path: Path, fake: Any) -> None:
    labels = np.array([0.25, 0.75], np.float32)
    moved = {"translate": (0.5, -1), "rotate": 30}
    described = job("1", labels=labels, container="webdataset", **moved)
    write_dataset(fake(c_dim=2), described, tmp_path)
    (record,) = records(tmp_path)
    assert record["labels"] == [0.25, 0.75]
    assert "class_idx" not in record
    assert (record["translate"], record["rotate"]) == ([0.5, -1], 30)
    assert [name for name, _ in members(tmp_path) if ".cls" in name] == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_bytes_depend_on_nothing_but_the_job(
    tmp_path: Path, fake: Any, contents: Contents, container: str
) -> None:
    described = job("0-40", container=container, shard_size=7)
    for encoders in (1, 4):
        folder = tmp_path / str(encoders)
        write_dataset(fake(), described, folder / "out.zip", encoders=encoders)
    assert contents(tmp_path / "1") == contents(tmp_path / "4")


def test_quality_and_compression_reach_the_encoder(tmp_path: Path, fake: Any) -> None:
    drawer = fake(size=32)

    def size(name: str, **options: Any) -> int:
        write_dataset(drawer, job("1", **options), tmp_path / name)
        return int(records(tmp_path / name)[0]["bytes"])

    assert size("a", image_format="jpeg", quality=20) < size("b", image_format="jpeg")
    assert size("c", image_format="webp", quality=20) < size("d", image_format="webp", quality=95)
    drawer.generate = lambda seeds, **_: np.zeros((len(seeds), 32, 32, 3), np.uint8)
    assert size("e", compression=0) > size("f", compression=9)
    with Image.open(tmp_path / "b" / "seed0001.jpg") as image:
        assert image.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # full chroma


def test_shards_are_the_same_whoever_writes_them(
    tmp_path: Path, fake: Any, contents: Contents
) -> None:
    described = job("0-20", container="webdataset", shard_size=6)
    write_dataset(fake(), described, tmp_path / "one")
    DatasetWriter(fake(), described, tmp_path / "many").start()
    for number in (2, 0, 3, 1):
        writer = DatasetWriter(fake(), described, tmp_path / "many")
        assert not writer.is_complete()
        assert writer.write([number]) == (3 if number == 3 else 6)
    writer.finish()
    assert writer.is_complete()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert list(writer.files()) == [tmp_path / "many" / f"shard-00000{n}.tar" for n in range(4)]


def test_all_shards_must_be_there_at_the_end(tmp_path: Path, fake: Any, refuses: Any) -> None:
    writer = DatasetWriter(fake(), job(container="webdataset", shard_size=3), tmp_path)
    with refuses("has no job.json. Call start before write"):
        writer.write()
    writer.start()
    for number in (3, -1):
        with refuses(f"shards: got {number}, expected an integer of 0 to 2"):
            writer.write([0, number])
    writer.write([0, 2])
    with refuses("shard 1 is not complete yet"):
        writer.finish()


# --- What goes on.


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_it_goes_on_where_it_was(
    tmp_path: Path, fake: Any, contents: Contents, container: str, error: BaseException
) -> None:
    described = job("0-29", container=container, shard_size=12)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "stopped" / "out"
    drawer = fake()

    def interrupt(done: int, total: int) -> None:
        if len(drawer.drawn) >= 16:
            raise error

    with pytest.raises(type(error)):
        write_dataset(drawer, described, out, progress=interrupt)
    assert drawer.drawn == list(range(16))
    told: list[tuple[int, int]] = []
    rest = fake()
    result = write_dataset(rest, described, out, progress=lambda *counts: told.append(counts))
    assert rest.drawn == list(range(16, 30))
    assert (result.images, result.drawn) == (30, 14)
    assert (told[0], told[-1]) == ((16, 30), (30, 30))
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    again = write_dataset(fake(), described, out)
    assert (again.images, again.drawn) == (30, 0)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_disk_that_is_full_for_a_while(
    tmp_path: Path, fake: Any, contents: Contents, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = job("0-29", container=container, shard_size=12)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "full" / "out"
    module = sys.modules[
        f"stylert.runtime.datasets.{'zip_file' if container == 'zip' else container}"
    ]
    name = "put_file" if container == "folder" else "write_whole"
    original, calls = getattr(module, name), [0]

    def full(*arguments: Any, **options: Any) -> None:
        calls[0] += 1
        if calls[0] == 20:
            raise OSError(28, "No space left on device")
        original(*arguments, **options)

    monkeypatch.setattr(module, name, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_dataset(fake(), described, out)
    assert container == "folder" or caught.value.filename.startswith(str(out))
    monkeypatch.undo()
    assert 0 < write_dataset(fake(), described, out).drawn < 30
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


@pytest.mark.parametrize("left", [None, b"", b"half of it"])
def test_an_image_that_is_not_whole_is_drawn_again(
    tmp_path: Path, fake: Any, contents: Contents, left: bytes | None
) -> None:
    described = job("0-9")
    write_dataset(fake(), described, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "manifest.jsonl").rename(tmp_path / "manifest.jsonl.partial")
    (tmp_path / "seed0006.png").unlink()
    if left is not None:
        (tmp_path / "seed0006.png").write_bytes(left)
    rest = fake()
    write_dataset(rest, described, tmp_path)
    assert rest.drawn == list(range(4, 10))  # with all of its batch
    assert contents(tmp_path) == before


def test_a_shard_that_has_its_name_already_is_not_drawn_again(tmp_path: Path, fake: Any) -> None:
    described = job("0-6", container="webdataset", shard_size=7)
    writer = DatasetWriter(fake(), described, tmp_path)
    writer.start()
    writer.write()
    journal = tmp_path / "shard-000000.jsonl"
    journal.rename(journal.with_name("shard-000000.jsonl.partial"))
    assert write_dataset(fake(), described, tmp_path).drawn == 0
    assert len(records(tmp_path)) == 7


# --- What is refused.


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
        with refuses(str(out), " holds another job: ", *words, "Pass --force to start over"):
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
    tmp_path: Path, fake: Any, refuses: Any, container: str
) -> None:
    taken = {"folder": "seed0003.png", "webdataset": "shard-000007.tar", "zip": "out"}[container]
    out = tmp_path / "out"
    file = out if container == "zip" else out / taken
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    described = job(container=container)
    with refuses(f"{file} exists. Pass --force to replace it, or choose another --out."):
        write_dataset(fake(), described, out)
    assert file.read_text() == "mine"
    write_dataset(fake(), described, out, force=True)
    assert dict(members(out))["job.json"]


def test_other_files_of_a_folder_are_not_in_the_way(tmp_path: Path, fake: Any) -> None:
    for name in ("seed0007.png", "seed0003.jpg", "seed3.png", "notes.txt"):
        (tmp_path / name).write_text("mine")
    write_dataset(fake(), job("0-6"), tmp_path)
    assert (tmp_path / "seed0007.png").read_text() == "mine"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [lines[0], lines[0], *lines[2:]], 2),  # a duplicate
        (lambda lines: lines[1:], 1),  # a gap
        (lambda lines: [*lines[:3], b"{}\n", *lines[4:]], 4),
        (lambda lines: [b"\xff\xfe\n", *lines], 1),
        (lambda lines: [*lines, lines[-1]], 8),
        (lambda lines: [lines[0].replace(b'"bytes": ', b'"bytes": -'), *lines[1:]], 1),
        (lambda lines: [lines[0].replace(b'"truncation_psi": 0.5', b'"truncation_psi": 1')], 1),
        (lambda lines: [b"[" * 100_000 + b"\n"], 1),
    ],
)
def test_a_damaged_journal_is_refused(
    tmp_path: Path, fake: Any, refuses: Any, container: str, damage: Any, line: int
) -> None:
    out = tmp_path / "out"
    journal = _unfinished(fake, job(container=container), out)
    journal.write_bytes(b"".join(damage(journal.read_bytes().splitlines(keepends=True))))
    with refuses(f"{journal}, line {line}: expected ", "Pass --force to start over"):
        write_dataset(fake(), job(container=container), out)
    write_dataset(fake(), job(container=container), out, force=True)
    assert len(records(out)) == 7


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("tail", [b"", b"{", b'{"file": "seed', b"\0" * 100])
def test_a_line_that_was_cut_off_is_written_again(
    tmp_path: Path, fake: Any, contents: Contents, container: str, tail: bytes
) -> None:
    write_dataset(fake(), job(container=container), tmp_path / "whole" / "out")
    out = tmp_path / "cut" / "out"
    journal = _unfinished(fake, job(container=container), out)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + tail)
    assert write_dataset(fake(), job(container=container), out).drawn == 2
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def _unfinished(fake: Any, described: DatasetJob, out: Path) -> Path:
    """A data set with all its images, whose journal is not finished; and that journal."""
    finish, Shard._finish_if_complete = Shard._finish_if_complete, lambda shard: None  # type: ignore
    try:
        writer = DatasetWriter(fake(), described, out)
        writer.start()
        writer.write()
    finally:
        Shard._finish_if_complete = finish  # type: ignore[method-assign]
    (journal,) = out.parent.rglob("*.jsonl.partial")
    return journal


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}"])
def test_a_damaged_job_is_refused(tmp_path: Path, fake: Any, refuses: Any, content: bytes) -> None:
    write_dataset(fake(), job(), tmp_path)
    (tmp_path / "job.json").write_bytes(content)
    with refuses("Pass --force to start over, or choose another --out"):
        write_dataset(fake(), job(), tmp_path)
    write_dataset(fake(), job(), tmp_path, force=True)
    assert len(records(tmp_path)) == 7


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_two_processes_are_kept_apart(
    tmp_path: Path, fake: Any, refuses: Any, container: str
) -> None:
    out = tmp_path / "out"
    started, go_on = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        started.set()
        go_on.wait(30)

    options = {"progress": wait}
    first = threading.Thread(
        target=write_dataset, args=(fake(), job(container=container), out), kwargs=options
    )
    first.start()
    started.wait(30)
    with refuses("another process is writing this data set"):
        write_dataset(fake(), job(container=container), out)
    go_on.set()
    first.join(30)
    assert len(records(out)) == 7


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
        ({"class_idx": 3}, "class_idx: got 3, expected 0 to 2"),
        ({"class_idx": (0, 3)}, "class_idx: got 3, expected 0 to 2"),
        ({"class_idx": ()}, "class_idx: got none"),
        ({"class_idx": None}, "class_idx, labels: got neither"),
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
    tmp_path: Path, generator: Generator, refuses: Any
) -> None:
    write_dataset(generator, job("0-2"), tmp_path / "there")
    before = dict(members(tmp_path / "there"))
    for out in (tmp_path / "new", tmp_path / "there"):
        with refuses("noise_mode: got 'wild'"):
            write_dataset(generator, job(noise_mode="wild"), out, force=True)
    assert not (tmp_path / "new").exists()
    assert dict(members(tmp_path / "there")) == before


# --- Memory.


@pytest.mark.parametrize("container", CONTAINERS)
def test_memory_does_not_grow_with_the_seeds(tmp_path: Path, fake: Any, container: str) -> None:
    def peak(images: int) -> int:
        described = DatasetJob(
            seeds=Seeds.of(range(images)), container=container, image_format="jpeg", shard_size=100
        )
        drawer = fake(size=1, batch=16)
        drawer.drawn = None  # type: ignore[assignment]
        drawer.generate = lambda seeds, **_: np.zeros((len(seeds), 1, 1, 3), np.uint8)
        tracemalloc.start()
        try:
            write_dataset(drawer, described, tmp_path / str(images), encoders=2)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # the modules that are loaded on the way
    assert peak(2000) < peak(500) + 100_000  # a name and a record of each would be 1 MB
