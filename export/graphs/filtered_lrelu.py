"""The filtered leaky ReLU of StyleGAN3 as ONNX nodes, in two forms; the function is the same.

'phases': depthwise convolutions at the low rate, one for each phase of the high rate. This is the
least work, and ONNX Runtime on a CPU is fastest with it. 'matrix': two products with a constant
matrix before the nonlinearity and two after it. Tensor cores like these, for images that are not
too large. See `lowering_filters` for the algebra.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import onnx_ir as ir

from stylert.export import lowering_filters
from stylert.export.checkpoints import StyleGAN3Layer
from stylert.export.graphs.emitter import SynthesisEmitter

__all__ = ["FORMS", "FilteredLrelu", "MatrixForm", "PhaseForm"]


class FilteredLrelu(ABC):
    """A filtered leaky ReLU without its gain, which goes before it.

    Attributes:
        start: first row and column of the input that is read.
        stop: the one after the last.
    """

    start: int
    stop: int

    def __init__(
        self,
        emitter: SynthesisEmitter,
        layer: StyleGAN3Layer,
        up_fir: np.ndarray,
        down_fir: np.ndarray,
        clamp: float | None,
    ) -> None:
        self.emitter = emitter
        self.layer = layer
        self.up_fir = up_fir
        self.down_fir = down_fir
        self.clamp = clamp

    @abstractmethod
    def emit(self, x: ir.Value, channels: int) -> ir.Value:
        """From the part of the input that is read [N, C, h, h] to [N, C, out_size, out_size]."""

    def activation(self, x: ir.Value, at: str) -> ir.Value:
        """The nonlinearity by itself."""
        e = self.emitter
        with e.graph.scope(at):
            if self.layer.slope != 1:
                x = e.graph.op("LeakyRelu", x, name="lrelu", alpha=self.layer.slope)
            return e.clamp(x, self.clamp)

    def depthwise(
        self,
        x: ir.Value,
        kernel: np.ndarray,  # [h, w]
        channels: int,
        name: str,
        *,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        strides: tuple[int, int] = (1, 1),
    ) -> ir.Value:
        """The same filter for every channel; pads are ONNX's: top, left, bottom, right."""
        kernels = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
        return self.emitter.graph.op(
            "Conv",
            x,
            self.emitter.constant(f"{name}_weight", kernels),
            name=name,
            kernel_shape=list(kernel.shape),
            pads=list(pads),
            strides=list(strides),
            group=channels,
        )


class PhaseForm(FilteredLrelu):
    """Depthwise convolutions from and to phases."""

    def __init__(
        self,
        emitter: SynthesisEmitter,
        layer: StyleGAN3Layer,
        up_fir: np.ndarray,
        down_fir: np.ndarray,
        clamp: float | None,
    ) -> None:
        super().__init__(emitter, layer, up_fir, down_fir, clamp)
        self.split = lowering_filters.split_into_phases(
            up_fir,
            down_fir,
            up=layer.up,
            down=layer.down,
            before=layer.padding[0],
            out_size=layer.out_size,
        )
        self.start = max(self.split.first, 0)
        self.stop = min(self.split.first + self.split.samples, layer.conv_size)

    def emit(self, x: ir.Value, channels: int) -> ir.Value:
        """From the part of the input that is read [N, C, h, h] to [N, C, out_size, out_size]."""
        split, g = self.split, self.emitter.graph
        count = len(split.up)
        phases = {}
        for p in range(count):
            rows = self.up(x, split.up[p], channels, f"up{p}", axis=0)
            for q in range(count):
                columns = self.up(rows, split.up[q], channels, f"up{p}{q}", axis=1)
                phases[p, q] = self.activation(columns, f"act{p}{q}")
        down = self.down_radial if self.layer.down_radial else self.down_separable
        outputs = down(phases, channels)
        if split.outputs == 1:
            return outputs[0]
        x = g.op("Concat", *outputs, name="outputs", axis=1)
        x = g.op("DepthToSpace", x, name="to_space", blocksize=split.outputs, mode="DCR")
        size = self.layer.out_size
        if split.frames * split.outputs == size:
            return x
        return self.emitter.cut(x, 0, size, "cut")

    def held(self, x, at, channels):
        e = self.emitter
        with e.graph.scope(at):
            if self.layer.slope != 1:
                x = e.graph.op("LeakyRelu", x, name="lrelu", alpha=self.layer.slope)
            if self.clamp is None:
                return x
            x = self.depthwise(x, np.ones((1, 1)), channels, "hold")
            return e.clamp(x, self.clamp)

    def up(self, x: ir.Value, taps: np.ndarray, channels: int, name: str, *, axis: int) -> ir.Value:
        """One phase along an axis."""
        split = self.split
        before = self.start - split.first
        after = split.first + split.samples - self.stop
        if axis == 0:
            kernel, pads, strides = taps[:, None], (before, 0, after, 0), (split.stride, 1)
        else:
            kernel, pads, strides = taps[None], (0, before, 0, after), (1, split.stride)
        return self.depthwise(x, kernel, channels, name, pads=pads, strides=strides)

    def down_separable(
        self, phases: dict[tuple[int, int], ir.Value], channels: int
    ) -> list[ir.Value]:
        """The outputs of a frame, row by row: columns first, then rows."""
        down, count = self.split.down, len(self.split.up)
        columns = {
            (p, s): self.total(
                [(phases[p, q], down[s, q][None]) for q in range(count)], channels, f"down{p}_{s}"
            )
            for p in range(count)
            for s in range(len(down))
        }
        return [
            self.total(
                [(columns[p, s], down[r, p][:, None]) for p in range(count)],
                channels,
                f"down_{r}{s}",
            )
            for r in range(len(down))
            for s in range(len(down))
        ]

    def down_radial(self, phases: dict[tuple[int, int], ir.Value], channels: int) -> list[ir.Value]:
        """The outputs of a frame, row by row, with a 2-D filter."""
        down = self.split.down
        return [
            self.total(
                [(phase, down[r, s, p, q]) for (p, q), phase in phases.items()],
                channels,
                f"down_{r}{s}",
            )
            for r in range(len(down))
            for s in range(len(down))
        ]

    def total(self, terms: list[tuple[ir.Value, np.ndarray]], channels: int, name: str) -> ir.Value:
        """The sum of filtered phases."""
        total = None
        for i, (x, kernel) in enumerate(terms):
            if not kernel.any():
                continue
            y = self.depthwise(x, kernel, channels, f"{name}_from{i}")
            add = self.emitter.graph.op
            total = y if total is None else add("Add", total, y, name=f"{name}_sum{i}")
        assert total is not None
        return total


class MatrixForm(FilteredLrelu):
    """Products with constant matrices. A radial filter is one convolution."""

    def __init__(
        self,
        emitter: SynthesisEmitter,
        layer: StyleGAN3Layer,
        up_fir: np.ndarray,
        down_fir: np.ndarray,
        clamp: float | None,
    ) -> None:
        super().__init__(emitter, layer, up_fir, down_fir, clamp)
        matrix = lowering_filters.up_matrix(
            up_fir, layer.conv_size, up=layer.up, padding=layer.padding
        )
        read = np.flatnonzero(matrix.any(axis=0))
        self.start, self.stop = int(read[0]), int(read[-1]) + 1
        self.up_matrix = matrix[:, self.start : self.stop]

    def emit(self, x: ir.Value, channels: int) -> ir.Value:
        """From the part of the input that is read [N, C, h, h] to [N, C, out_size, out_size]."""
        x = self.activation(self.product(x, self.up_matrix, "up"), "act")
        if self.layer.down_radial:
            down = self.layer.down
            kernel = self.down_fir[::-1, ::-1]
            return self.depthwise(x, kernel, channels, "down", strides=(down, down))
        matrix = lowering_filters.down_matrix(
            self.down_fir, len(self.up_matrix), down=self.layer.down
        )
        return self.product(x, matrix, "down")

    def product(self, x: ir.Value, matrix: np.ndarray, name: str) -> ir.Value:
        """The matrix along rows and columns."""
        e = self.emitter
        rows = e.graph.op(
            "MatMul", e.constant(f"{name}_rows_matrix", matrix), x, name=f"{name}_rows"
        )
        columns = e.constant(f"{name}_columns_matrix", matrix.T)
        return e.graph.op("MatMul", rows, columns, name=f"{name}_columns")


FORMS: dict[str, type[FilteredLrelu]] = {"phases": PhaseForm, "matrix": MatrixForm}
