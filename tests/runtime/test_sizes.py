"""Sizes as people read them."""

from __future__ import annotations

import pytest

from stylert.runtime.sizes import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (561_702, "561.7 kB"),
        (12_340_000, "12.3 MB"),
        (4_567_000_000, "4.57 GB"),
        (5e15, "5000000.00 GB"),
    ],
)
def test_size_text(size: float, text: str) -> None:
    assert size_text(size) == text
