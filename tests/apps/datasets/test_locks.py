"""Locks: many may write in a folder, and one alone may start or finish what is in it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.datasets.journal import Journal
from stylert.apps.datasets.locks import locked_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_one_alone_or_many(tmp_path: Path, refuses: Any, first: bool, second: bool) -> None:
    with locked_folder(tmp_path, alone=first):
        if not first and not second:
            with locked_folder(tmp_path, alone=second):
                pass
        else:
            with (
                refuses(f"{tmp_path}: another process is writing this data set. Wait for it"),
                locked_folder(tmp_path, alone=second),
            ):
                raise AssertionError
    with locked_folder(tmp_path, alone=second):
        pass


def test_it_waits(tmp_path: Path) -> None:
    order = []

    def wait() -> None:
        with locked_folder(tmp_path, alone=True, wait=True):
            order.append("second")

    thread = threading.Thread(target=wait)
    with locked_folder(tmp_path, alone=False):
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_folder_that_was_made_again_while_it_waited(tmp_path: Path, refuses: Any) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        with locked_folder(folder, alone=True, wait=True):
            inside.set()
            go_on.wait(30)

    thread = threading.Thread(target=wait)
    with locked_folder(folder, alone=True):
        thread.start()
        thread.join(0.05)
        folder.rename(tmp_path / "gone")
        folder.mkdir()
    assert inside.wait(30)
    with refuses("another process"), locked_folder(folder, alone=True):
        raise AssertionError
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "none", alone=True), locked_folder(tmp_path / "none", alone=True):
        assert not (tmp_path / "none").exists()


def test_a_journal_that_another_process_has_finished(tmp_path: Path, refuses: Any) -> None:
    first = Journal(tmp_path / "x.jsonl")
    with refuses("another process is writing this data set"):
        Journal(tmp_path / "x.jsonl")
    first.add(b"{}\n")
    first.finish()
    with refuses("x.jsonl: another process has just finished it. Run it again."):
        Journal(tmp_path / "x.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]
    assert (tmp_path / "x.jsonl").read_bytes() == b"{}\n"
