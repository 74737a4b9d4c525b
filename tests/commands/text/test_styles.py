"""Truncation, what changes in a video, and directions, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.apps.video.ramps import Ramp
from stylert.commands.text.seeds import parse_source
from stylert.commands.text.styles import (
    parse_direction,
    parse_motion,
    parse_psi,
    parse_psi_ramp,
    parse_psis,
    parse_turn,
)

Refuses = Callable[..., AbstractContextManager[None]]


def test_psi_for_all_layers_and_by_layers() -> None:
    assert parse_psi("0.7") == 0.7
    assert parse_psi("coarse=0.5, 8-17=1") == {"coarse": 0.5, "8-17": 1.0}


@pytest.mark.parametrize("text", ["", "x", "0.5,0.7", "coarse=", "coarse=0.5,fine", "a=b"])
def test_what_is_no_psi(refuses: Refuses, text: str) -> None:
    with refuses(f"got {text!r}, expected a number, or coarse=0.5,fine=1"):
        parse_psi(text)


def test_one_psi_or_a_sweep(refuses: Refuses) -> None:
    assert parse_psis("0.7") == 0.7
    assert parse_psis("coarse=0.5,fine=1") == {"coarse": 0.5, "fine": 1.0}
    assert parse_psis("-1,0, 0.5") == (-1, 0, 0.5)
    with refuses("got '0,x', expected numbers such as 0.5,0.5"):
        parse_psis("0,x")


def test_a_value_that_stays() -> None:
    assert parse_turn("-90") == -90
    assert parse_motion("0.5,-1") == (0.5, -1)
    assert parse_psi_ramp("0.5") == 0.5
    assert parse_psi_ramp("coarse=0.5") == {"coarse": 0.5}


def test_a_value_that_changes() -> None:
    assert parse_psi_ramp("0:1") == Ramp(0, 1)
    assert parse_motion("0,0:1,2") == Ramp((0, 0), (1, 2))
    assert parse_turn("0:360") == Ramp(0, 360, turn=360)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_turn, text) for text in ("", "0:1:2", "0:", "1,2", "0:inf")),
        *((parse_motion, text) for text in ("", "1", "1,2:3", "1,nan")),
        *((parse_psi_ramp, text) for text in ("0:1:2", "0:inf", ":")),
    ],
)
def test_what_is_no_ramp(refuses: Refuses, parse: Any, text: str) -> None:
    one = "0.5,0.5" if parse is parse_motion else "0.5"
    with refuses(f"got {text!r}, expected such as {one}, or {one}:{one} from to"):
        parse(text)


def test_what_is_no_number(refuses: Refuses) -> None:
    with refuses("got 'x', expected numbers such as"):
        parse_psi_ramp("0:x")
    with refuses("got 'x', expected a number, or coarse=0.5"):
        parse_psi_ramp("x")


def test_a_component_a_file_or_a_name() -> None:
    assert parse_direction("pca:0") == 0
    assert parse_direction("pca:63") == 63
    assert parse_direction("a/age.npz") == Path("a/age.npz")
    assert parse_direction("sefa_all_0") == "sefa_all_0"


def test_channels() -> None:
    assert parse_direction("b32.conv1:45=+3, b8.conv0:2") == {"b32.conv1:45": 3, "b8.conv0:2": 1}
    assert parse_direction("L3_84_1024:0=-0.5") == {"L3_84_1024:0": -0.5}


@pytest.mark.parametrize("text", ["b4.conv1:1=x", "b4.conv1:1=", "b4.conv1:1,=2x"])
def test_what_is_no_channel(refuses: Refuses, text: str) -> None:
    with refuses(f"got {text!r}, expected channels such as b32.conv1:45=3,b8.conv0:2=-1"):
        parse_direction(text)


@pytest.mark.parametrize("name", ["a.NPY", "a.pt", "./a.pth", "a.pkl", "a.png"])
def test_files_of_directions_are_those_of_styles(name: str) -> None:
    assert parse_direction(name) == parse_source(name) == Path(name)


@pytest.mark.parametrize("text", ["pca:", "pca:x", "pca:-1", "pca:" + "9" * 5000])
def test_what_is_no_component(refuses: Refuses, text: str) -> None:
    with refuses("got 'pca:", "expected a component such as pca:0"):
        parse_direction(text)


@pytest.mark.parametrize(
    ("parse", "text", "name"),
    [
        (parse_psi, "coarse=0.5, coarse=1", "coarse"),
        (parse_psis, "coarse=0.5,fine=1,coarse=0.5", "coarse"),
        (parse_direction, "b32.conv1:45=2,b32.conv1:45", "b32.conv1:45"),
    ],
)
def test_what_is_named_twice_is_refused(
    refuses: Refuses, parse: Callable[[str], Any], text: str, name: str
) -> None:
    with refuses(f"got '{name}' twice, expected each once"):
        parse(text)
