"""ONNX Runtime on a graph that is no bundle's yet: what the export measures before it decides."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.checkpoints.configs.config import SMALL
from stylert.export.graphs.emitter import list_noise_inputs
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.backends.onnxruntime_package import import_onnxruntime
from stylert.runtime.files.publishing import naming

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["choose_threads", "make_feeds", "make_latent_feeds", "open_graph", "open_session"]


def choose_threads(work: int) -> int | None:
    """How many threads draw pictures in the least time; None = all there are.

    Args:
        work: multiply-adds of a picture: threads cost a small network more than they give.
    """
    return 1 if work < SMALL else None


def open_graph(graph: GraphBuilder, *, threads: int | None = None) -> InferenceSession:
    """`open_session` of a graph that is being built."""
    with tempfile.TemporaryDirectory(prefix="stylert-graph-") as folder:
        path = Path(folder) / "graph.onnx"
        with naming(path):
            graph.save(path)
        return open_session(path, threads=threads)


def open_session(model: Path | bytes, *, threads: int | None = None) -> InferenceSession:
    """Open a graph on the CPU.

    Args:
        model: its file, or the content of one.
        threads: of a call, None = all.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # what is watched would double the memory
    options.intra_op_num_threads = threads or 0
    content = str(model) if isinstance(model, Path) else model
    session: InferenceSession = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    return session


def make_latent_feeds(config: Config, z: np.ndarray, *, first: int) -> dict[str, np.ndarray]:
    """The inputs of a mapping graph: z [N, z_dim] untruncated, of one class after another.

    Args:
        config: of the network.
        z: float32.
        first: number of the first row: its class is `first` mod c_dim.
    """
    feeds = {"z": z, "truncation_psi": np.ones((len(z), config.num_ws), np.float32)}
    if config.c_dim:
        classes = np.arange(first, first + len(z)) % config.c_dim
        feeds["c"] = np.eye(config.c_dim, dtype=np.float32)[classes]
    return feeds


def make_feeds(checkpoint: Checkpoint, ws: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a synthesis graph: ws [N, num_ws, w_dim], the checkpoint's noise, no motion."""
    feeds = {"ws": ws, **list_noise_inputs(checkpoint)}
    if checkpoint.config.has_transform:
        feeds["transform"] = np.tile(np.eye(3, dtype=np.float32), (len(ws), 1, 1))
    return feeds
