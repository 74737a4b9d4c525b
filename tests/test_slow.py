"""slow.txt: what it names is there, so that a test which gets another name is not lost to it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
NAMED = [
    line
    for line in (TESTS / "slow.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def test_all_are_there() -> None:
    for line in NAMED:
        file, _, test = line.partition("::")
        assert (TESTS / file).exists(), line
        assert (TESTS / file).is_dir() == line.endswith("/"), line
        assert not test or f"\ndef {test}(" in (TESTS / file).read_text(encoding="utf-8"), line
