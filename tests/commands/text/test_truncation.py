"""A psi as users write it: for all layers, or by layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from stylert.commands.text.truncation import parse_psi

Refuses = Callable[..., AbstractContextManager[None]]


def test_psi_for_all_layers_and_by_layers() -> None:
    assert parse_psi("--truncation-psi", None) is None
    assert parse_psi("--truncation-psi", "0.7") == 0.7
    assert parse_psi("--truncation-psi", "coarse=0.5, 8-17=1") == {"coarse": 0.5, "8-17": 1.0}


@pytest.mark.parametrize("text", ["", "x", "0.5,0.7", "coarse=", "coarse=0.5,fine", "a=b"])
def test_what_is_no_psi(refuses: Refuses, text: str) -> None:
    with refuses(f"--truncation-psi: got {text!r}, expected a number, or coarse=0.5,fine=1"):
        parse_psi("--truncation-psi", text)
