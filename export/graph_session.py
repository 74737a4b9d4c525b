"""ONNX Runtime on a graph that is no bundle yet: what the export measures before it decides."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.checkpoints.configs.config import SMALL
from stylert.export.graphs.emitter import list_noise_inputs
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.backends.onnxruntime_package import available_providers
from stylert.runtime.files.publishing import naming

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["choose_threads", "make_feeds", "open_file", "open_graph"]


def choose_threads(config: Config) -> int | None:
    """How many threads draw pictures of a network in the least time; None = all there are."""
    return 1 if config.work < SMALL else None  # threads cost it more than they give


def open_graph(graph: GraphBuilder, *, threads: int | None = None) -> InferenceSession:
    """Open a graph on the CPU, with so many threads, None = all.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="stylert-graph-") as folder:
        path = Path(folder) / "graph.onnx"
        with naming(path):
            graph.save(path)
        return open_file(path, threads=threads)


def open_file(path: Path, *, threads: int | None = None) -> InferenceSession:
    """The same of a graph that is written.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """
    available_providers()  # says what to install where there is no ONNX Runtime
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # what is watched would double the memory
    options.intra_op_num_threads = threads or 0
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def make_feeds(checkpoint: Checkpoint, ws: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a synthesis graph: ws [N, num_ws, w_dim], the checkpoint's noise, no motion."""
    feeds = {"ws": ws, **list_noise_inputs(checkpoint)}
    if checkpoint.config.has_transform:
        feeds["transform"] = np.tile(np.eye(3, dtype=np.float32), (len(ws), 1, 1))
    return feeds
