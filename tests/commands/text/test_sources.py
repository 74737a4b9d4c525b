"""Seeds or files, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from stylert.commands.text.sources import check_options_of_seeds, parse_source, styles_of
from stylert.runtime.generator import Generator

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.mark.parametrize("name", ["ws.npy", "a/ws.npz", "latents.pt", "latents.pth", "here"])
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").write_text("")
    assert parse_source("--rows", name) == Path(name)


def test_what_reads_as_seeds_is_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("12").write_text("")
    assert parse_source("--rows", "12") == [12]
    long = ",".join(map(str, range(200)))  # longer than the name of a file may be
    assert parse_source("--rows", long) == list(range(200))


@pytest.mark.parametrize("text", ["", "there", "x" * 5000, "\0", "3-1"])
def test_neither(refuses: Refuses, text: str) -> None:
    with refuses("--rows: got ", "expected a "):
        parse_source("--rows", text)


def test_files_take_no_options_of_seeds(refuses: Refuses) -> None:
    given = {"--truncation-psi": None, "--class": 0}
    check_options_of_seeds([Path("a.npy"), [1]], given)
    check_options_of_seeds([Path("a.npy")], {"--class": None})
    with refuses("--class: got one for ws of a file, expected seeds"):
        check_options_of_seeds([Path("a.npy"), Path("b.npy")], given)


def test_styles_of_seeds_and_of_files(generator: Generator, tmp_path: Path) -> None:
    ws = styles_of(generator, [3, 4, 3], truncation_psi=0.5)
    assert np.array_equal(ws, generator.styles([3, 4, 3], truncation_psi=0.5))
    np.save(tmp_path / "ws.npy", ws)
    assert np.array_equal(styles_of(generator, tmp_path / "ws.npy", truncation_psi=1), ws)
