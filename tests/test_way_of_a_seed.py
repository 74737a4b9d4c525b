"""A seed's way from the caller to the backend is short, for whoever reads or steps through it.

So are the runtime's core, which every embedder loads, and the command line above the commands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from stylert.cli import main
from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.generator import Generator

ROOT = Path(__file__).resolve().parents[1]


def find_file(code: CodeType) -> str | None:
    """The file of ours that some code is in, None of other code."""
    path = Path(code.co_filename)
    if path.suffix != ".py" or not path.resolve().is_relative_to(ROOT):
        return None
    name = path.resolve().relative_to(ROOT).as_posix()
    return None if name.startswith((".venv/", "tests/")) else name


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Our frames at each call of the backend, from the outermost to `run`."""
    found: list[list[str]] = []
    run = OnnxRuntimeSession.run

    def watched(session: OnnxRuntimeSession, *args: Any, **options: Any) -> Any:
        frame: FrameType | None = sys._getframe(1)
        stack = ["run"]
        while frame is not None:
            if find_file(frame.f_code) is not None:
                stack.append(frame.f_code.co_name)
            frame = frame.f_back
        found.append(stack[::-1])
        return run(session, *args, **options)

    monkeypatch.setattr(OnnxRuntimeSession, "run", watched)
    return found


@contextmanager
def trace(files: set[str]) -> Iterator[None]:
    """Note the files of ours whose functions are called."""

    def note(frame: FrameType, event: str, arg: Any) -> None:
        name = find_file(frame.f_code) if event == "call" else None
        if name is not None:
            files.add(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def test_from_python(generator: Generator, stacks: list[list[str]]) -> None:
    generator.generate([1, 2, 3])
    generator.generate(range(20))
    assert len(stacks) > 2
    assert max(map(len, stacks)) <= 5, stacks


@pytest.mark.parametrize("out", ["images", "one.png"])
def test_from_the_command_line(
    bundle: Path, tmp_path: Path, stacks: list[list[str]], monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    seeds = "0-20" if out == "images" else "3"
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", None)  # so that it is put back
    with pytest.raises(SystemExit) as done:
        main(["generate", str(bundle), "--seeds", seeds, "--out", str(tmp_path / out)])
    assert not done.value.code
    assert stacks
    assert max(map(len, stacks)) <= 9, stacks


def test_the_files_that_it_goes_through(
    generator: Generator, record_property: Callable[[str, object], None]
) -> None:
    files: set[str] = set()
    with trace(files):
        generator.generate([1, 2, 3], truncation_psi=0.7)
    lines = sum(len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in files)
    record_property("files", sorted(files))
    assert len(files) <= 9, sorted(files)
    assert lines <= 1500, (lines, sorted(files))


@pytest.mark.parametrize(("files", "most"), [("runtime/*.py", 2700), ("cli.py", 150)])
def test_the_lines_of_the_core_and_the_command_line(files: str, most: int) -> None:
    lines = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in ROOT.glob(files)}
    assert 0 < sum(lines.values()) <= most, lines
