"""Exact rewrites of StyleGAN2's graph in ONNX Runtime: what each wins over the graph as it is.

    python tests/benchmarks/onnxruntime_rewrites.py docs/results/onnxruntime-rewrites.json

Untrained StyleGAN2 256 in batches of 4, in turns: processor time at one thread, and wall time at
two. 'no clamps' is exact only for a network that never reaches them, which no file can promise.
'lrelu and demodulation exchanged' is lrelu(d y + n + b) = d lrelu(y + (n + b) / d): the convolution
may take in what is added to it and the lrelu, and d goes with the styles of what comes next.
`--only` times some of them, in rows beside those that the file has.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx_ir as ir
import onnxruntime
from typing_extensions import override

from stylert.apps.bench.machine import describe_machine
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.untrained import make_untrained
from stylert.export.graph_session import make_feeds
from stylert.export.graphs import stylegan2
from stylert.export.onnx_graph import GraphBuilder
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import Psi

NETWORK, BATCH = "stylegan2-256", 4
TURNS = {1: 6, 2: 4}  # by threads
REWRITES: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "noise and bias are added to each other first": ("shift",),
    "ToRGB is a product with modulated weights": ("torgb",),
    "both": ("shift", "torgb"),
    "no clamps": ("clamps",),
    "both, and no clamps": ("shift", "torgb", "clamps"),
    "lrelu and demodulation exchanged": ("exchange",),
    "the same, and no clamps": ("exchange", "clamps"),
}


class Rewritten(stylegan2._Synthesis):
    """The synthesis network of StyleGAN2, with some of the rewrites."""

    rewrites: tuple[str, ...] = ()
    left: dict[str, ir.Value]  # demodulation [N, C] that is left to do, by the value it is of

    @override
    def styled_conv(self, x: ir.Value, layer: str, fir: np.ndarray | None = None) -> ir.Value:
        if "exchange" not in self.rewrites:
            return super().styled_conv(x, layer, fir)
        g, name = self.graph, f"synthesis.{layer}"
        before, _ = self.find_gains(layer)
        with g.scope(layer):
            scale, weight, d = self.modulation(layer, self.tensors[f"{name}.weight"])
            if x.name in self.left:
                scale = g.op("Mul", scale, self.left[x.name], name="left")
            x = g.op("Mul", x, self.per_channel(scale, "styles"), name="modulate")
            x = self.convolution(x, weight, fir)
            inverse = g.op("Reciprocal", self.per_channel(d, "factors"), name="inverse")
            bias = self.tensors[f"{name}.bias"].astype(np.float64) * before
            bias_of_all = self.constant("bias", bias[:, None, None])
            shift = g.op("Add", self.noise(layer, before), bias_of_all, name="noise_and_bias")
            shift = g.op("Mul", shift, inverse, name="shift")
            x = self.activation(g.op("Add", x, shift, name="add_shift"), "lrelu")
            if "clamps" not in self.rewrites and self.config.conv_clamp is not None:
                clamp = self.config.conv_clamp * before / math.sqrt(2)
                bounds = [
                    g.op("Mul", inverse, g.constant(end, np.array(sign * clamp)), name=f"at_{end}")
                    for end, sign in (("low", -1), ("high", 1))
                ]
                x = g.op("Max", x, bounds[0], name="clamp_low")
                x = g.op("Min", x, bounds[1], name="clamp_high")
            self.left[str(x.name)] = d
            return x

    @override
    def noise(self, layer: str, gain: float | np.ndarray) -> ir.Value:
        noise = super().noise(layer, gain)
        if "shift" not in self.rewrites:
            return noise
        bias = self.tensors[f"synthesis.{layer}.bias"].astype(np.float64) * gain
        shift = self.graph.constant("shift", bias[:, None, None])
        return self.graph.op("Add", noise, shift, name="noise_and_bias")

    @override
    def torgb(self, x: ir.Value, layer: str) -> ir.Value:
        if "exchange" in self.rewrites:
            find, left = self.styles.find, self.left[str(x.name)]
            styles = self.graph.op("Mul", find(layer), left, name="left")
            with mock.patch.object(self.styles, "find", return_value=styles):
                return super().torgb(x, layer)
        if "torgb" not in self.rewrites:
            return super().torgb(x, layer)
        g, side = self.graph, int(layer.split(".")[0][1:])
        weight = self.tensors[f"synthesis.{layer}.weight"][None, :, :, 0, 0]  # [1, O, I]
        bias = self.tensors[f"synthesis.{layer}.bias"][:, None]
        row = g.shared("axis_1", np.array([1]))
        styles = g.op("Unsqueeze", self.styles.find(layer), row, name="row")
        weights = g.op("Mul", styles, g.constant("weight", weight), name="modulate")  # [N, O, I]
        flat = g.op("Reshape", x, g.shared("flat", np.array([0, 0, -1])), name="flatten")
        y = g.op("MatMul", weights, flat, name="product")
        y = g.op("Add", y, g.constant("bias", bias), name="add_bias")
        shape = g.constant("shape", np.array([0, self.config.img_channels, side, side]))
        y = g.op("Reshape", y, shape, name="unflatten")
        return self.clamp(y, self.config.conv_clamp)

    @override
    def clamp(self, x: ir.Value, bound: float | None, dtype: str | None = None) -> ir.Value:
        return x if "clamps" in self.rewrites else super().clamp(x, bound, dtype)

    def build_rewritten(self, rewrites: tuple[str, ...]) -> GraphBuilder:
        """The graph."""
        self.rewrites, self.left = rewrites, {}
        op = self.graph.op

        def without_bias(op_type: str, *inputs: Any, name: str, **attributes: Any) -> ir.Value:
            if name == "add_bias" and op_type == "Add" and self.in_layer(inputs[0]):
                value: ir.Value = inputs[0]  # it is with the noise
                return value
            return op(op_type, *inputs, name=name, **attributes)

        if "shift" not in rewrites:
            return self.build()
        with mock.patch.object(self.graph, "op", without_bias):
            return self.build()

    def in_layer(self, x: ir.Value) -> bool:
        """Whether noise has just been added to a value."""
        return str(x.name).endswith("/add_noise")


def open_rewritten(
    checkpoint: Checkpoint, rewrites: tuple[str, ...], threads: int
) -> onnxruntime.InferenceSession:
    """The rewritten graph in ONNX Runtime, as the runtime opens it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.onnx"
        Rewritten(checkpoint, "transposed").build_rewritten(rewrites).save(file)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def time_rewrites(
    checkpoint: Checkpoint, threads: int, feeds: Any, names: list[str]
) -> dict[str, Any]:
    """Medians, ratios and samples of rewrites."""
    sessions = {name: open_rewritten(checkpoint, REWRITES[name], threads) for name in names}
    clock = time.process_time if threads == 1 else time.perf_counter
    samples: dict[str, list[float]] = {name: [] for name in sessions}
    pictures = {name: session.run(["img"], feeds)[0] for name, session in sessions.items()}
    for turn in range(TURNS[threads]):
        for name in list(sessions)[:: 1 if turn % 2 else -1]:
            start = clock()
            sessions[name].run(["img"], feeds)
            samples[name].append(clock() - start)
    first = next(iter(sessions))
    median = {name: statistics.median(of) for name, of in samples.items()}
    return {
        "threads": threads,
        "clock": clock.__name__,
        "seconds": median,
        "ratio": {name: round(median[first] / of, 3) for name, of in median.items()},
        "ratio_of_minima": {
            name: round(min(samples[first]) / min(of), 3) for name, of in samples.items()
        },
        "max_abs": {
            name: float(np.abs(of - pictures[first]).max()) for name, of in pictures.items()
        },
        "samples": samples,
    }


def main() -> None:
    """Time all rewrites."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=[], choices=REWRITES)
    arguments = parser.parse_args()
    out, first = arguments.out, next(iter(REWRITES))
    names = [first, *(name for name in arguments.only if name != first)]
    kept = json.loads(out.read_text(encoding="utf-8"))["rows"] if arguments.only else []
    checkpoint = make_untrained(NETWORK)
    ws = Reference(checkpoint).map_seeds(range(BATCH), Psi(1.0))
    feeds = make_feeds(checkpoint, ws)
    if not arguments.only:
        names = list(REWRITES)
    rows = [time_rewrites(checkpoint, threads, feeds, names) for threads in TURNS]
    results = {
        "machine": describe_machine(),
        "onnxruntime": onnxruntime.__version__,
        "network": NETWORK,
        "batch": BATCH,
        "rows": kept + rows,
    }
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(row["threads"], row["ratio"], row["ratio_of_minima"])


if __name__ == "__main__":
    main()
