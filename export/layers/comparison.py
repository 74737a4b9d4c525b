"""Layer by layer: where graphs, and engines, leave the reference.

All of them draw the same pictures, in which nothing is like anything else: each layer has the w of
another seed, and noise or a transform of its own. One picture goes through at a time, since all of
its layers are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from polygraphy.comparator import Comparator

from stylert.export.checkpoints import Checkpoint
from stylert.export.layers.feeds import make_feeds
from stylert.export.layers.report import LayerReport, LayerRow
from stylert.export.layers.runners import GraphRunner, ReferenceRunner, quiet
from stylert.runtime.bundle import Bundle, graph_key
from stylert.runtime.generator import Generator
from stylert.runtime.proof.parity import Difference, RoundingError, compare_each, find_worst

__all__ = ["compare_layers"]

SEEDS = (0, 1)
GRAPHS = ("mapping", "synthesis")
ENGINE = "engine"  # its column
EXACT, REFERENCE = "float64", "float32"  # columns of the reference

Layers = Mapping[str, np.ndarray]  # by their names
# The precision of an engine, and what makes its runner of the values that its layers end with.
Engine = tuple[str, Callable[[Mapping[str, str]], Any]]
Picture = Mapping[str, Layers]  # what was drawn of it, by column


def compare_layers(
    bundle: Bundle,
    checkpoint: Checkpoint | None = None,
    *,
    threads: int | None = None,
    engines: Mapping[str, Engine] = MappingProxyType({}),
) -> LayerReport:
    """Compare what each layer of a bundle's graphs hands on, in every precision.

    Args:
        bundle: opened.
        checkpoint: what it was made of, its weights as the bundle stores them; None = compare with
            the float32 graph alone.
        threads: CPU threads of ONNX Runtime, None = all.
        engines: by graph, the precision of an engine, and what makes its runner; see
            `stylert.engines.layer_runner`.

    Raises:
        EngineError: a runner failed.
    """
    rows: list[LayerRow] = []
    of_cpu = Generator.open(
        bundle.path, backend="onnxruntime", provider="cpu", threads=threads, check_files=False
    )
    with of_cpu as generator:
        feeds = {graph: [make_feeds(generator, graph, seed) for seed in SEEDS] for graph in GRAPHS}
    for graph in GRAPHS:
        of_graph = GraphRunner("fp32", bundle.file(graph), threads=threads)
        runners: list[Any] = [of_graph]
        precisions = {"fp32": "fp32"}
        half = graph_key(graph, "fp16")
        if half != graph and half in bundle.graphs:
            runners.append(GraphRunner("fp16", bundle.file(half), threads=threads))
            precisions["fp16"] = "fp16"
        if graph in engines:
            precisions[ENGINE], make_runner = engines[graph]
            same = next(one for one in runners if precisions[one.name] == precisions[ENGINE])
            runners.append(make_runner(same.values))
        if checkpoint is not None:
            wanted = (checkpoint, graph, bundle.graphs[graph].inputs, of_graph.values)
            runners.append(ReferenceRunner(EXACT, *wanted, dtype=torch.float64))
            runners.append(ReferenceRunner(REFERENCE, *wanted, dtype=torch.float32))
        pictures = _draw(runners, feeds[graph])
        rows += _judge(pictures, tuple(of_graph.values), precisions)
    return LayerReport(tuple(rows))


def _draw(runners: Sequence[Any], feeds: Sequence[Layers]) -> Iterator[Picture]:
    """Run all runners on one picture after the other."""
    with quiet():
        for results in Comparator.run(runners, data_loader=feeds, streaming=True):
            yield {name: iterations[0] for name, iterations in results}


def _judge(
    pictures: Iterator[Picture], layers: Sequence[str], precisions: Mapping[str, str]
) -> Iterator[LayerRow]:
    found: dict[str, dict[str, list[Difference]]] = {layer: defaultdict(list) for layer in layers}
    shapes, truths = {}, {}
    for picture in pictures:
        for layer in layers:
            truths[layer] = EXACT if layer in picture.get(EXACT, ()) else "fp32"
            truth = picture[truths[layer]][layer]
            shapes[layer] = truth.shape[1:]
            for column, drawn in picture.items():
                if column != truths[layer] and layer in drawn:
                    found[layer][column].append(_compare(truth, drawn[layer]))
    for layer in layers:
        errors = found[layer].pop(REFERENCE, None)
        worst = {column: find_worst(differences) for column, differences in found[layer].items()}
        error = None if errors is None else RoundingError.gather(errors)
        yield LayerRow(layer, shapes[layer], truths[layer], error, worst, precisions)


def _compare(truth: np.ndarray, got: np.ndarray) -> Difference:
    """The difference in units of half the layer's range."""
    got = got[:, : truth.shape[1]]  # half precision pads channels to a multiple of eight
    half_range = float(truth.max() - truth.min()) / 2 or 1.0
    return compare_each(truth / half_range, got.astype(truth.dtype) / half_range)[0]
