"""Data sets that go on where they were, after an interrupt, an error or a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.datasets import DatasetJob, DatasetWriter, Seeds, write_dataset
from stylert.apps.datasets.journal import GrowingFile, Journal
from stylert.apps.datasets.shard import Shard
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.files.publishing import naming

CONTAINERS = ("folder", "zip", "webdataset")
Contents = Callable[[Path], dict[str, bytes]]


def job(seeds: str = "0-6", **options: Any) -> DatasetJob:
    drawing = {k: options.pop(k) for k in [*options] if k in DrawingOptions.__annotations__}
    return DatasetJob(seeds=Seeds.parse(seeds), options=drawing, **options)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_it_goes_on_where_it_was(
    tmp_path: Path, fake: Any, contents: Contents, container: str, error: BaseException
) -> None:
    described = job("0-29", container=container, shard_size=12)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "stopped" / "out"
    drawer = fake()
    interrupt = drawer.interrupt(16, error)
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
    writer: Any = (GrowingFile, "append") if container == "webdataset" else (Path, "write_bytes")
    original, calls = getattr(*writer), [0]

    def full(place: Any, data: bytes) -> None:
        calls[0] += 1
        with naming(place.path) if container == "webdataset" else nullcontext():
            if calls[0] == 20:
                raise OSError(28, "No space left on device")
        original(place, data)

    monkeypatch.setattr(*writer, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_dataset(fake(), described, out)
    assert caught.value.filename.startswith(str(out))
    monkeypatch.undo()
    assert 0 < write_dataset(fake(), described, out).drawn < 30
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("room", [0, 1, 2])
def test_what_a_full_disk_has_no_room_for_is_not_told_as_there(
    tmp_path: Path, fake: Any, container: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stays full: the journal's lines of the last images do not fit, either."""
    monkeypatch.setattr("stylert.apps.datasets.shard.COMMIT_IMAGES", 4)
    append = Journal.append
    appended: list[int] = []

    def full(journal: Journal, data: bytes) -> None:
        appended.append(data.count(b"\n"))
        with naming(journal.path):
            if len(appended) > room:
                raise OSError(28, "No space left on device")
        append(journal, data)

    monkeypatch.setattr(Journal, "append", full)
    described = job("0-29", container=container, shard_size=12)
    told: list[int] = []
    with pytest.raises(OSError, match="No space left"):
        write_dataset(fake(), described, tmp_path / "x", progress=lambda n, of: told.append(n))
    assert told[-1] == sum(appended[:room]) == 4 * room
    monkeypatch.undo()
    again: list[int] = []
    write_dataset(fake(), described, tmp_path / "x", progress=lambda n, of: again.append(n))
    assert again[0] == told[-1]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names open files through /proc")
@pytest.mark.parametrize("container", CONTAINERS)
def test_what_a_failed_sync_tells_of_is_drawn_again(
    tmp_path: Path, fake: Any, contents: Contents, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may drop what it could not write, and say at the next sync that all is well."""
    described = job("0-6", container=container)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "failed" / "out"
    failures = [OSError(5, "Input/output error")]

    def sync(number: int) -> None:
        name = os.readlink(f"/proc/self/fd/{number}") if failures else ""
        if name.endswith(("seed0003.png", "shard-000000.tar.partial")):
            raise failures.pop()

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_dataset(fake(), described, out)
    assert caught.value.filename.startswith(str(out))
    assert not failures
    assert write_dataset(fake(), described, out).drawn == 7
    assert contents(tmp_path / "failed") == contents(tmp_path / "whole")


def test_a_zip_file_that_was_packed_in_part(tmp_path: Path, fake: Any, contents: Contents) -> None:
    described = job(container="zip")
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "cut" / "out"
    DatasetWriter(fake(), described, out).start()
    (out.with_name("out.partial") / "packed.zip.partial").write_bytes(bytes(5000))
    write_dataset(fake(), described, out)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_an_image_that_is_gone_before_it_is_packed(
    tmp_path: Path, fake: Any, refuses: Any, members: Any
) -> None:
    described = job(container="zip")
    writer = DatasetWriter(fake(), described, tmp_path / "out")
    writer.start()
    writer.write()
    removed = tmp_path / "out.partial" / "seed0003.png"
    removed.unlink()
    with refuses(f"{removed} is gone from a data set that was complete. Pass force=True to start"):
        writer.finish()
    assert not (tmp_path / "out").exists()
    write_dataset(fake(), described, tmp_path / "out", force=True)
    assert len(members(tmp_path / "out")) == 9


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


def test_a_shard_that_has_its_name_already_is_not_drawn_again(
    tmp_path: Path, fake: Any, records: Any
) -> None:
    described = job("0-6", container="webdataset", shard_size=7)
    writer = DatasetWriter(fake(), described, tmp_path)
    writer.start()
    writer.write()
    journal = tmp_path / "shard-000000.jsonl"
    journal.rename(journal.with_name("shard-000000.jsonl.partial"))
    assert write_dataset(fake(), described, tmp_path).drawn == 0
    assert len(records(tmp_path)) == 7


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("tail", [b"", b"{", b'{"file": "seed', b"\0" * 100, b"\0\0\n{}\n"])
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
    tmp_path: Path, fake: Any, refuses: Any, container: str, damage: Any, line: int, records: Any
) -> None:
    out = tmp_path / "out"
    journal = _unfinished(fake, job(container=container), out)
    journal.write_bytes(b"".join(damage(journal.read_bytes().splitlines(keepends=True))))
    with refuses(f"{journal}, line {line}: expected ", "Pass force=True to start over"):
        write_dataset(fake(), job(container=container), out)
    write_dataset(fake(), job(container=container), out, force=True)
    assert len(records(out)) == 7


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}"])
def test_a_damaged_job_is_refused(
    tmp_path: Path, fake: Any, refuses: Any, content: bytes, records: Any
) -> None:
    write_dataset(fake(), job(), tmp_path)
    (tmp_path / "job.json").write_bytes(content)
    with refuses("Pass force=True to start over, or choose another name"):
        write_dataset(fake(), job(), tmp_path)
    write_dataset(fake(), job(), tmp_path, force=True)
    assert len(records(tmp_path)) == 7


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_complete_data_set_is_left_alone(
    tmp_path: Path, fake: Any, refuses: Any, contents: Contents, container: str
) -> None:
    out = tmp_path / "out"
    described = job(container=container, shard_size=3)
    write_dataset(fake(), described, out)
    before = contents(tmp_path)
    late = DatasetWriter(fake(), described, out)  # of several processes that share the shards out
    late.start()
    assert late.write([0]) == 0
    late.finish()
    assert contents(tmp_path) == before
    if container == "zip":
        return
    *_, removed = late.files()
    removed.unlink()
    repairing = f"Draw it again: stylert verify {out} --repair BUNDLE; or pass force=True to start"
    with refuses(f"{removed} is gone from a data set that was complete. {repairing}"):
        write_dataset(fake(), described, out)
    write_dataset(fake(), described, out, force=True)
    assert contents(tmp_path) == before


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
