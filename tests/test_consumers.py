"""The table of other tools in docs/backends.md is what its program makes of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylert.tests.loading import load_file

PROGRAM = load_file(Path(__file__).parent / "consumers" / "compare.py")


def test_table_is_of_the_figures() -> None:
    rows = json.loads(PROGRAM.RESULTS.read_text(encoding="utf-8"))
    text = PROGRAM.DOCUMENT.read_text(encoding="utf-8")
    shown = text.partition(PROGRAM.FIRST)[2].partition(PROGRAM.LAST)[0]
    assert shown.strip() == PROGRAM.make_table(rows)
    assert len(rows) >= 7


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        (
            [{"max_abs": 3e-6, "psnr_db": 134.2}, {"max_abs": 0.0, "psnr_db": None}],
            "right: max 3e-6",
        ),
        ([{"max_abs": 2e-3, "psnr_db": 78.4}, {"max_abs": 3e-3, "psnr_db": 74.5}], "74 to 78 dB"),
        (
            [{"max_abs": 1.3, "psnr_db": 17.2}, {"max_abs": 2e-3, "psnr_db": 78.4}],
            "**wrong**: max 1",
        ),
        ([{"max_abs": 2e-3, "psnr_db": 78.4}, {"fails": "no | layer"}], "fails: no / layer"),
    ],
)
def test_cell_is_of_the_worst_case(cases: list[dict[str, object]], words: str) -> None:
    assert PROGRAM._tell_cases(dict(enumerate(cases))) == words
