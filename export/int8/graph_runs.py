"""ONNX Runtime on a synthesis graph in memory, for pictures of a bundle's own mapping network.

It draws INT8 pictures as other backends do, but not faster than in float32: it only measures them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from stylert.runtime.backends.onnxruntime import available_providers
from stylert.runtime.generator import Generator

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Feeds", "PSIS", "make_pictures", "open_model"]

Feeds = dict[str, np.ndarray]
PSIS = (0.7, 1.0)  # truncations of the pictures, in turn


def make_pictures(generator: Generator, seeds: Sequence[int]) -> Iterator[Feeds]:
    """The inputs of the synthesis graph for one image after another, with the noise of its own.

    Each seed has a truncation of `PSIS`, and a class where there are any.
    """
    bundle = generator.bundle
    constants = bundle.read_noise()
    if any(t.name == "transform" for t in bundle.graphs["synthesis"].inputs):
        constants["transform"] = np.eye(3, dtype=np.float32)[None]
    for i, seed in enumerate(seeds):
        classes = {"class_idx": seed % bundle.spec.c_dim} if bundle.spec.c_dim else {}
        ws = generator.styles([seed], truncation_psi=PSIS[i % len(PSIS)], **classes)
        yield {"ws": ws, **constants}


def open_model(model: ir.Model, *, threads: int | None = None) -> InferenceSession:
    """Open a graph on the CPU, with so many threads, None = all.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """
    available_providers()  # says what to install where there is no ONNX Runtime
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads or 0
    content = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
