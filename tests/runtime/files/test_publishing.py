"""Publishing: whole or not at all, whatever ends it, and nothing beside it afterwards."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stylert.runtime.files.publishing import naming, publish_bytes, publish_file, publish_folder

ROOT = Path(__file__).parents[3]


def tree(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("path", ["file", "a/b/file"])
def test_a_file_is_there_when_the_block_ends(tmp_path: Path, path: str) -> None:
    for data in (b"old", b"new"):  # the second replaces the first
        with publish_file(tmp_path / path) as partial:
            partial.write_bytes(data)
            assert (tmp_path / path).exists() == (data == b"new")
        assert (tmp_path / path).read_bytes() == data
    assert os.listdir((tmp_path / path).parent) == ["file"]


@pytest.mark.parametrize("path", ["folder", "a/b/folder"])
def test_a_folder_is_there_when_the_block_ends(tmp_path: Path, path: str) -> None:
    for name in ("old", "new"):
        with publish_folder(tmp_path / path) as partial:
            (partial / "inner").mkdir()
            (partial / "inner" / name).write_bytes(b"1")
            assert (tmp_path / path).exists() == (name == "new")
        assert tree(tmp_path / path) == {"inner": None, f"inner/{name}": b"1"}
    assert os.listdir((tmp_path / path).parent) == ["folder"]


def renames_or_syncs(node: ast.AST) -> bool:
    """Whether it is a call of fsync, rename, or the replace of os or of a path."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, arguments = node.func.attr, len(node.args)
    of_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
    return name in ("fsync", "rename") or (name == "replace" and (arguments == 1 or of_os))


def test_nobody_else_publishes() -> None:
    rooms = ("apps", "commands", "engines", "export", "runtime")
    sources = [ROOT / "cli.py", *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if any(map(renames_or_syncs, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {
        "runtime/files/publishing.py",
        "apps/datasets/journal.py",  # which is synced as it grows
        "apps/datasets/webdataset.py",  # takes a shard's name away again
    }


def publish_one_file(path: Path) -> AbstractContextManager[Path]:
    return publish_file(path)


def fill(partial: Path) -> None:
    (partial / "x" if partial.is_dir() else partial).write_bytes(b"half")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(28, "No space")])
@pytest.mark.parametrize("moment", ["before", "within", "fsync", "replace", "rename"])
@pytest.mark.parametrize("place", ["there", "a/b/new"])
@pytest.mark.parametrize("publish", [publish_one_file, publish_folder])
def test_whatever_ends_it_leaves_all_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Callable[[Path], AbstractContextManager[Path]],
    place: str,
    moment: str,
    error: BaseException,
) -> None:
    if (moment, publish) in (("replace", publish_folder), ("rename", publish_one_file)):
        return
    with publish(tmp_path / "there") as partial:
        fill(partial)
    before = tree(tmp_path)

    def fail(*_: object) -> None:
        raise error

    def publishing() -> None:
        with publish(tmp_path / place) as partial:
            if moment == "before":
                fail()
            fill(partial)
            if moment == "within":
                fail()

    if moment in ("replace", "rename"):
        rename = getattr(Path, moment)
        monkeypatch.setattr(
            Path,
            moment,
            lambda path, target: fail() if ".partial" in path.name else rename(path, target),
        )
    elif moment == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)) as caught:
        publishing()
    assert tree(tmp_path) == before
    if isinstance(error, OSError):
        assert caught.value.filename == str(tmp_path / place)


def test_all_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("names open files through /proc")
    told: list[str] = []

    def sync(number: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        told.append(path.relative_to(tmp_path).as_posix())

    monkeypatch.setattr(os, "fsync", sync)
    publish_bytes(tmp_path / "file", b"")
    assert told == [f".file.{os.getpid()}.partial", "."]
    told.clear()
    with publish_folder(tmp_path / "folder") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "x").touch()
    staging = f".folder.{os.getpid()}.partial"
    assert told == [f"{staging}/inner/x", f"{staging}/inner", staging, "."]
    told.clear()
    publish_bytes(tmp_path / "quick", b"", sync=False)
    assert told == []


def test_a_file_that_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "file", b"first", overwrite=False)
    with pytest.raises(FileExistsError) as caught:
        publish_bytes(tmp_path / "file", b"second", overwrite=False)
    assert caught.value.filename == str(tmp_path / "file")
    assert tree(tmp_path) == {"file": b"first"}


def test_another_name_until_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "x.partial").write_bytes(b"of a process that was killed")
    with publish_file(tmp_path / "file", beside=tmp_path / "work" / "x.partial") as partial:
        assert partial == tmp_path / "work" / "x.partial"
        partial.write_bytes(b"new")
    assert tree(tmp_path) == {"work": None, "file": b"new"}


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with publish_folder(tmp_path / "link") as partial:
        (partial / "x").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["x"]


def test_errors_are_told_of_what_people_know(tmp_path: Path) -> None:
    def told(filename: str | None, filename2: str | None = None) -> str:
        with pytest.raises(OSError, match="why") as caught, naming(tmp_path / "file"):
            raise OSError(errno.EIO, "why", filename, None, filename2)
        return str(caught.value.filename)

    assert told(None) == told(str(tmp_path / ".file.1.partial")) == str(tmp_path / "file")
    assert told(str(tmp_path / "set.partial" / "x.png")) == str(tmp_path / "file")
    assert told("another") == told("another", "third") == "another"
    # A disk that is full in the middle of a copy: the source is well.
    assert told("source", str(tmp_path / ".file.1.partial" / "x")) == str(tmp_path / "file")


TERMINATED = """
import signal, sys
from stylert.runtime.files.publishing import publish_file, publish_folder
def stop(*_):
    raise KeyboardInterrupt  # as the command line does
signal.signal(signal.SIGTERM, stop)
with publish_folder("a/folder") as folder, publish_file("b/file") as file:
    (folder / "x").touch()
    file.touch()
    signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM")
def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TERMINATED], cwd=tmp_path, capture_output=True)
    assert b"KeyboardInterrupt" in done.stderr
    assert not os.listdir(tmp_path)
