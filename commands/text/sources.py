"""Where styles come from: seeds such as '0-3,7', or a file of ws; and the styles of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.commands.text.seed_lists import parse_seed_list
from stylert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from stylert.runtime.generator import Generator

__all__ = ["Source", "check_options_of_seeds", "parse_source", "styles_of"]

Source = Path | list[int]

_SUFFIXES = (".npy", ".npz", ".pt", ".pth")
_SEEDS = frozenset("0123456789,- ")


def parse_source(name: str, text: str) -> Source:
    """Read seeds in their order and with repetitions, or the name of a file of ws.

    Args:
        name: what the message calls it.
        text: seeds as `parse_seed_list` reads them, or the name of a file: of a suffix that such
            files have, or one that is there.

    Raises:
        InvalidInput: neither of the two.
    """
    is_file = not _SEEDS.issuperset(text)
    if is_file and (text.endswith(_SUFFIXES) or os.path.isfile(text)):
        return Path(text)
    return parse_seed_list(name, text)


def check_options_of_seeds(sources: Sequence[Source], options: Mapping[str, Any]) -> None:
    """Refuse options that only styles of seeds have, where all sources are files.

    Args:
        sources: from `parse_source`.
        options: values by what the message calls them; None = not given.

    Raises:
        InvalidInput: one was given.
    """
    if not all(isinstance(source, Path) for source in sources):
        return
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(f"{name}: got one for ws of a file, expected seeds")


def styles_of(generator: Generator, source: Source, **options: Any) -> np.ndarray:
    """The ws of a source: [N, num_ws, w_dim] float32.

    Args:
        generator: maps the seeds, or knows which ws fit it.
        source: from `parse_source`.
        options: of `Generator.styles`, where these are seeds.

    Raises:
        InvalidInput: a file, seeds or options that do not fit the generator.
        EngineError: the backend failed, or the generator is closed.
    """
    if isinstance(source, Path):
        return generator.load_ws(source)
    return generator.styles(source, **options)
