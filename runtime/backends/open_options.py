"""What `Generator.open` takes besides the path, as a type for those who hand it on."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["OpenOptions"]


class OpenOptions(TypedDict, total=False):
    """The options of `Generator.open`, which says what each of them is."""

    backend: str
    provider: str
    device: str | None
    precision: str
    threads: int | None
    gpu: int | None
    lanes: int
    max_batch: int
    trust_engines: bool
    check_files: bool
