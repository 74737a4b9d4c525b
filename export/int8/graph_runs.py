"""ONNX Runtime on a synthesis graph in memory, for pictures of a bundle's own mapping network.

It draws INT8 pictures as other backends do, but not faster than in float32: it only measures them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from stylert.export.checkpoints.configs.config import SMALL
from stylert.export.graph_session import open_session
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.neutral_inputs import make_neutral_inputs
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import multiply_adds

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Feeds", "choose_pictures", "make_pictures", "open_model"]

Feeds = dict[str, np.ndarray]
PSIS = (0.7, 1.0)  # truncations of the pictures, in turn
# Pictures of the calibration, and others that are measured, by the multiply-adds of one.
_PICTURES = ((SMALL, (64, 32)), (10 * SMALL, (16, 12)), (math.inf, (8, 6)))
_FIRST_SEED = 1_000_000  # the pictures are none of those that people look at


def choose_pictures(bundle: Bundle) -> tuple[range, range]:
    """The seeds of the pictures that ranges are calibrated on, and of others that are measured."""
    work = multiply_adds(bundle)
    counts = next(counts for most, counts in _PICTURES if work < most)
    middle = _FIRST_SEED + counts[0]
    return range(_FIRST_SEED, middle), range(middle, middle + counts[1])


def make_pictures(generator: Generator, seeds: Sequence[int]) -> Iterator[Feeds]:
    """The inputs of the synthesis graph for one image after another, with the noise of its own.

    Each seed has a truncation of `PSIS`, and a class where there are any.
    """
    bundle = generator.bundle
    constants = bundle.read_noise()
    constants |= make_neutral_inputs(bundle.graphs["synthesis"].inputs)
    for i, seed in enumerate(seeds):
        classes = {"class_idx": seed % bundle.spec.c_dim} if bundle.spec.c_dim else {}
        ws = generator.styles([seed], truncation_psi=PSIS[i % len(PSIS)], **classes)
        yield {"ws": ws, **constants}


def open_model(model: ir.Model, *, threads: int | None = None) -> InferenceSession:
    """`open_session` of a graph in memory."""
    return open_session(ir.to_proto(model).SerializeToString(), threads=threads)
