"""Which form of a graph is taken: by the processor, or by the precision that was asked for."""

from __future__ import annotations

import hashlib

from stylert.runtime.bundle import ENCODER, GPU, HALF_ENCODER, Bundle, graph_key
from stylert.runtime.proof.bundle_facts import stored_weights

__all__ = [
    "find_encoder",
    "find_engine_graph",
    "find_synthesis",
    "hash_engine_graph",
]


def find_encoder(bundle: Bundle, precision: str) -> str:
    """Key of the encoder's graph: with half precision, that in half precision if there is one."""
    return HALF_ENCODER if precision == "fp16" and HALF_ENCODER in bundle.graphs else ENCODER


def find_synthesis(bundle: Bundle, provider: str, precision: str) -> str:
    """Key of the synthesis graph: on a GPU, that in the shape for GPUs if there is one."""
    for_gpus = precision == "fp32" and provider != "cpu" and GPU in bundle.graphs
    return GPU if for_gpus else graph_key("synthesis", precision)


def find_engine_graph(bundle: Bundle, graph: str, precision: str) -> str:
    """Key of the graph that an engine is built from: 'mapping', or a form of the others.

    An engine of the graph for GPUs launches a third of the kernels. Its weights lie in another
    file, where those that are stored as integers cannot be written out for TensorRT's parser.
    """
    if graph == ENCODER:
        return find_encoder(bundle, "fp32" if precision == "fp32" else "fp16")
    if graph == "synthesis" and stored_weights(bundle) == "fp32":
        return find_synthesis(bundle, "tensorrt", precision)
    return graph_key(graph, precision)


def hash_engine_graph(bundle: Bundle, graph: str, precision: str) -> str:
    """SHA-256 of that graph, weights that lie in another file included; '' = it is not there."""
    key = find_engine_graph(bundle, graph, precision)
    if key != GPU:
        return bundle.graph_sha256(key) if key in bundle.graphs else ""
    both = bundle.graph_sha256(GPU) + bundle.graph_sha256("synthesis")
    return hashlib.sha256(both.encode()).hexdigest()
