"""What the inputs of the convolutions are in pictures of the network: what 8 bits have to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from stylert.export.int8.graph_runs import Feeds, open_model
from stylert.export.int8.ranges import Seen
from stylert.export.int8.source_graph import SourceGraph

__all__ = ["calibrate"]


def calibrate(
    source: SourceGraph, pictures: Iterable[Feeds], *, threads: int | None = None
) -> Mapping[str, Seen]:
    """Draw pictures in float32, and note how large the inputs of all convolutions are.

    Args:
        source: the graph.
        pictures: the graph's inputs for an image each.
        threads: CPU threads, None = all.

    Returns:
        By the names of the convolutions.
    """
    model = source.open()
    graph = model.graph
    nodes = {str(node.name): node for node in graph}
    peaks, styles = {}, {}
    for i, convolution in enumerate(source.convolutions):
        node = nodes[str(convolution.node.name)]
        peaks[convolution.name] = f"calibration/peak{i}"
        _output_peak(graph, node, peaks[convolution.name])
        if convolution.style is not None:
            styles[convolution.name] = str(convolution.style.name)
    known = {str(value.name) for value in graph.outputs}
    for name in sorted(set(styles.values()) - known):
        (value,) = (out for node in graph for out in node.outputs if out.name == name)
        graph.outputs.append(value)
    session = open_model(model, threads=threads)
    wanted = list(dict.fromkeys([*peaks.values(), *styles.values()]))
    seen: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for feeds in pictures:
        for name, array in zip(wanted, session.run(wanted, feeds), strict=True):
            seen[name].append(array.reshape(len(array), -1))  # [N, I]
    rows = {name: np.concatenate(arrays) for name, arrays in seen.items()}
    return {
        name: Seen(rows[peak], rows[styles[name]] if name in styles else None)
        for name, peak in peaks.items()
    }


def _output_peak(graph: ir.Graph, node: ir.Node, name: str) -> None:
    """Make the largest absolute value [N, I] of each channel of a convolution's input an output."""
    value = node.inputs[0]
    assert value is not None
    size = ir.node("Abs", [value], name=f"{name}/size")
    size.outputs[0].name = f"{name}/size"
    peak = ir.node("ReduceMax", [size.outputs[0]], {"axes": [2, 3], "keepdims": 0}, name=name)
    (output,) = peak.outputs
    output.name, output.dtype = name, ir.DataType.FLOAT
    graph.extend([size, peak])
    graph.outputs.append(output)
