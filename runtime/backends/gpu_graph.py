"""Which form of the synthesis graph a processor takes: that for GPUs has few convolutions."""

from __future__ import annotations

from stylert.runtime.bundle import GPU, Bundle, graph_key

__all__ = ["find_synthesis"]


def find_synthesis(bundle: Bundle, provider: str, precision: str) -> str:
    """Key of the synthesis graph: on a GPU, that in the shape for GPUs if there is one."""
    for_gpus = precision == "fp32" and provider != "cpu" and GPU in bundle.graphs
    return GPU if for_gpus else graph_key("synthesis", precision)
