r"""Inputs of a bundle's graphs for Polygraphy, which would feed random numbers by itself.

    polygraphy run demo-bundle/synthesis.onnx --onnxrt \
        --data-loader-script examples/polygraphy_feeds.py:feed_synthesis

The environment may name another BUNDLE. There are four pictures, one at a time; every layer has the
w of another seed, so that a graph that reads the wrong layer's w is seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import stylert

BUNDLE = os.environ.get("BUNDLE", "demo-bundle")
SEEDS = range(4)


def feed_mapping() -> Iterator[dict[str, np.ndarray]]:
    """Inputs of mapping.onnx: z, truncation_psi, and c where there are classes."""
    with stylert.open(BUNDLE, backend="onnxruntime", provider="cpu") as generator:
        for seed in SEEDS:
            feeds = generator.inputs.feed_mapping([seed], choose_classes(generator, [seed]))
            yield {**feeds.rows, **feeds.constants}


def feed_synthesis() -> Iterator[dict[str, np.ndarray]]:
    """Inputs of synthesis.onnx and synthesis.fp16.onnx: ws, and noise or a transform."""
    with stylert.open(BUNDLE, backend="onnxruntime", provider="cpu") as generator:
        layers = np.arange(generator.spec.num_ws)
        for seed in SEEDS:
            others = (1000 * seed + layers).tolist()
            ws = generator.styles(others, **choose_classes(generator, others))
            feeds = generator.inputs.feed_styles(ws[layers, layers][None], {})
            yield {**feeds.draw_rows(), **feeds.constants}


def choose_classes(generator: stylert.Generator, seeds: list[int]) -> Any:
    """The class seed mod their number, where the generator has classes."""
    count = generator.spec.c_dim
    return {"class_idx": [seed % count for seed in seeds]} if count else {}


def clear_tf32(builder: Any, network: Any, config: Any) -> None:
    """For TensorRT-RTX, where Polygraphy leaves TF32 on: float32 is float32."""
    import tensorrt_rtx

    config.clear_flag(tensorrt_rtx.BuilderFlag.TF32)
