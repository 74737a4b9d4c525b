"""Inputs of the synthesis graph that change nothing, for who runs it without a `Generator`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stylert.runtime.bundle import TensorSpec
from stylert.runtime.control.style_space import STYLE_OFFSET
from stylert.runtime.transforms import TRANSFORM

__all__ = ["make_neutral_inputs"]


def make_neutral_inputs(inputs: Iterable[TensorSpec], count: int = 1) -> dict[str, np.ndarray]:
    """A picture that stays where it is, and styles as they are; of those that a graph takes.

    Args:
        inputs: of the graph, which may take neither.
        count: how many pictures.

    Returns:
        [count, ...] float32 by input name.
    """
    arrays = {}
    for tensor in inputs:
        if tensor.name == TRANSFORM:
            arrays[TRANSFORM] = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
        elif tensor.name == STYLE_OFFSET:
            arrays[STYLE_OFFSET] = np.zeros((count, int(tensor.shape[1])), np.float32)
    return arrays
