"""Whatever moment a process is killed at: the job goes on, and ends with the same bytes.

First every state that a kill could leave, with a generator that draws at once: the files as they
are before each call of the system, and halfway through each write. Then the same where the machine
lost its power: of every file there is what was synced. Then real processes with a real network,
killed with SIGKILL.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.datasets import DatasetJob, Seeds, shard, write_dataset
from stylert.runtime.files import publishing
from stylert.runtime.generator import Generator

CONTAINERS = ("folder", "zip", "webdataset")
OURS = (str(Path(shard.__file__).parent), publishing.__file__)
OTHERS = ("pathlib", "shutil.py", "zipfile")  # that ours call
Tree = dict[str, bytes | None]  # None is a folder


def read_tree(root: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> Tree:
    tree: Tree = {}
    for path in sorted(root.rglob("*")):
        with suppress(FileNotFoundError):  # another thread has renamed it by now
            tree[path.relative_to(root).as_posix()] = None if path.is_dir() else read(path)
    return tree


def write_tree(root: Path, tree: Tree) -> None:
    root.mkdir()
    for name, data in tree.items():
        if data is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(data)


@contextmanager
def every_state(
    root: Path, read: Callable[[Path], bytes] = Path.read_bytes
) -> Iterator[list[Tree]]:
    """Collects the files below a folder before each call of the system that our code makes."""
    states: list[Tree] = []
    changing = {"write", "truncate", "replace", "rename", "unlink", "mkdir", "rmdir", "open"}
    lock = threading.Lock()

    def look(frame: Any, event: str, function: Any) -> None:
        if event != "c_call" or function.__name__ not in changing:
            return
        while any(name in frame.f_code.co_filename for name in OTHERS):
            frame = frame.f_back
        if frame.f_code.co_filename.startswith(OURS):
            with lock:
                tree = read_tree(root, read)
                if not states or tree != states[-1]:
                    states.append(tree)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield states
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        states.append(read_tree(root, read))


def torn(before: Tree, after: Tree) -> Iterator[Tree]:
    """What lies between two states: the first byte of what was written, half of it, all but one."""
    if before.keys() - after.keys():  # a file has another name now, which takes but a moment
        return
    for name, data in after.items():
        old = before.get(name, b"")
        if data is not None and old is not None and len(data) > len(old) + 1:
            for size in {1, (len(data) - len(old)) // 2, len(data) - len(old) - 1}:
                yield {**before, name: data[: len(old) + size]}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_state_that_a_kill_leaves_is_gone_on_with(
    tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    monkeypatch.setattr(shard, "COMMIT_IMAGES", 2)
    job = DatasetJob(seeds=Seeds.of(range(7)), container=container, shard_size=4)
    (tmp_path / "reference").mkdir()
    with every_state(tmp_path / "reference") as states:
        write_dataset(fake(batch=3), job, tmp_path / "reference" / "out.zip", encoders=1)
    expected = states[-1]
    assert len(states) > 20
    pairs = itertools.pairwise(states[:])
    states += [between for before, after in pairs for between in torn(before, after)]
    resumed = 0
    for number, state in enumerate(states):
        root = tmp_path / str(number)
        write_tree(root, state)
        result = write_dataset(fake(batch=3), job, root / "out.zip", encoders=1)
        assert read_tree(root) == expected
        resumed += 0 < result.drawn < 7
    assert resumed > 10  # what was there was not drawn again


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_kill_in_the_middle_of_starting_over(tmp_path: Path, fake: Any, container: str) -> None:
    old = DatasetJob(seeds=Seeds.of(range(9)), container=container, shard_size=4)
    new = DatasetJob(seeds=Seeds.of(range(3, 6)), container=container, shard_size=4)
    (tmp_path / "reference").mkdir()
    out = tmp_path / "reference" / "out.zip"
    write_dataset(fake(), old, out)
    with every_state(tmp_path / "reference") as states:
        write_dataset(fake(), new, out, force=True, encoders=1)
    for number, state in enumerate(states):
        root = tmp_path / str(number)
        write_tree(root, state)
        write_dataset(fake(), new, root / "out.zip", force=True)
        assert read_tree(root) == states[-1]


class Disk:
    """What of each file has come to the disk: as it was at its last fsync, by its inode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._synced: dict[int, bytes] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, number: int) -> None:
        self._fsync(number)
        path = Path(f"/proc/self/fd/{number}")
        if not path.is_dir():
            self._synced[os.fstat(number).st_ino] = path.read_bytes()

    def left_of(self, path: Path, whole: bytes) -> bytes:
        """Zeros where nothing came to the disk. But of a journal all: it claims the most then."""
        if path.name.endswith(".jsonl.partial"):
            return whole
        synced = self._synced.get(path.stat().st_ino, b"")[: len(whole)]
        return synced.ljust(len(whole), b"\0")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads synced files through /proc")
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_machine_that_loses_its_power(
    tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    monkeypatch.setattr(shard, "COMMIT_IMAGES", 2)
    job = DatasetJob(seeds=Seeds.of(range(7)), container=container, shard_size=4)
    reference = tmp_path / "reference"
    reference.mkdir()
    disk = Disk(monkeypatch)

    def left(path: Path) -> bytes:
        return disk.left_of(path, path.read_bytes())

    with every_state(reference, read=left) as states:
        write_dataset(fake(batch=3), job, reference / "out.zip", encoders=1)
    monkeypatch.undo()
    expected = states[-1]
    assert expected == read_tree(reference)
    resumed = 0
    for number, state in enumerate(states):
        root = tmp_path / str(number)
        write_tree(root, state)
        result = write_dataset(fake(batch=3), job, root / "out.zip", encoders=1)
        assert read_tree(root) == expected
        resumed += 0 < result.drawn < 7
    assert resumed > 5


DRAW = """
import sys
import stylert
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset

bundle, container, seeds, workers, out = sys.argv[1:]
job = DatasetJob(seeds=Seeds.parse(seeds), container=container, shard_size=130)
with stylert.open(bundle, provider="cpu", threads=1) as generator:
    write_dataset(generator, job, out, workers=int(workers))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize(
    ("container", "seeds", "kills", "workers"),
    [("folder", "0-199", 1, 1), ("zip", "0-199", 1, 2), ("webdataset", "0-299", 2, 2)],
)
def test_a_process_that_is_killed_goes_on(
    tmp_path: Path,
    bundle: Path,
    contents: Callable[[Path], dict[str, bytes]],
    container: str,
    seeds: str,
    kills: int,
    workers: int,
) -> None:
    def there() -> int:
        """Images that the journals tell of."""
        journals = (p for p in (tmp_path / "killed").rglob("*.jsonl*") if p.is_file())
        return sum(read.count(b"\n") for read in map(read_if_there, journals))

    job = DatasetJob(seeds=Seeds.parse(seeds), container=container, shard_size=130)
    images = len(job.seeds)
    with Generator.open(bundle, provider="cpu", threads=1) as generator:
        write_dataset(generator, job, tmp_path / "whole" / "out.zip")
    out = tmp_path / "killed" / "out.zip"
    command = [sys.executable, "-c", DRAW, bundle, container, seeds, str(workers), out]
    chance = random.Random(container)
    found = []
    for goal in sorted(chance.sample(range(1, images * 3 // 5), kills)):
        with subprocess.Popen(command, cwd=tmp_path) as process:
            while process.poll() is None and there() < goal:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        found.append(there())
    assert found == sorted(found)
    assert found[0] > 0
    assert found[-1] < images
    subprocess.run(command, cwd=tmp_path, check=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    if container == "webdataset":
        names = [name for path in sorted(out.glob("*.tar")) for name in members(path)]
        kinds = ("png", "json")
        assert names == [f"{seed:09d}.{kind}" for seed in range(300) for kind in kinds]


def members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # renamed by now
        return b""
