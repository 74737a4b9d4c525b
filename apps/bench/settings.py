"""What a benchmark is asked for, and whether that makes sense."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from stylert.apps.bench.candidates import Candidate
from stylert.runtime.errors import InvalidInput
from stylert.runtime.proof.parity import RoundingError, Tolerance

__all__ = ["Settings", "check_candidates", "check_positive", "choose"]


@dataclass(frozen=True)
class Settings:
    """How `run_bench` was asked to time, with its defaults filled in; part of its result.

    Raises:
        InvalidInput: A number is too small, or a batch size comes twice.
    """

    batches: tuple[int, ...]
    threads: int
    rounds: int
    warmup: int
    min_seconds: float
    max_seconds: float
    pin: bool
    timeout: float
    reference_error: RoundingError | None = None  # of PyTorch's float32, for the second gate
    tolerance: Tolerance | None = None  # of float32, None = that of pictures

    def __post_init__(self) -> None:
        batches = self.batches
        if not batches or min(batches) < 1 or len(set(batches)) < len(batches):
            raise InvalidInput(
                f"batches: got {list(batches)}, expected different numbers, 1 or more."
            )
        check_positive(threads=self.threads, rounds=self.rounds, warmup=self.warmup)


def check_positive(**numbers: int) -> None:
    """Check numbers, which are passed by the names that the message shall give them.

    Raises:
        InvalidInput: One of them is less than 1.
    """
    for name, number in numbers.items():
        if number < 1:
            raise InvalidInput(f"{name}: got {number}, expected 1 or more.")


def check_candidates(candidates: Sequence[Candidate], rooflines: Sequence[Candidate]) -> None:
    """Check the names, the factories and the options.

    Raises:
        InvalidInput: One of them cannot be used, or there are no candidates.
    """
    names = [candidate.name for candidate in candidates]
    reserved = [roofline.name for roofline in rooflines]
    if not names:
        raise InvalidInput("No candidates: got none, expected at least one. Name some backends.")
    if len(set(names)) < len(names) or set(names) & set(reserved):
        raise InvalidInput(
            f"Candidates: got the names {names}, expected different ones, and none of "
            f"{reserved}. Rename one."
        )
    for candidate in candidates:
        if not all(candidate.factory.rpartition(":")):
            raise InvalidInput(
                f"Candidate '{candidate.name}': got the factory '{candidate.factory}', expected "
                "'package.module:function' or 'path/to/file.py:function'."
            )
        try:
            json.dumps(dict(candidate.options), default=os.fspath)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"Candidate '{candidate.name}': its options cannot cross to a worker process "
                f"({error}). Use numbers, texts, paths, lists and dicts."
            ) from None


def choose(
    what: str, asked: str | None, names: Sequence[str], defaults: Sequence[str]
) -> str | None:
    """Return the candidate that was asked for, or the first default that is a candidate.

    Raises:
        InvalidInput: No candidate has the name that was asked for.
    """
    if asked is None:
        return next((default for default in defaults if default in names), None)
    if asked not in names:
        raise InvalidInput(f"{what}: got '{asked}', expected one of the candidates {names}.")
    return asked
