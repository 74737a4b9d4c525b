"""The filtered leaky ReLU of StyleGAN3 as ONNX nodes, in three forms of the same function.

'phases': depthwise convolutions at the low rate, some for each phase of the high rate. It is the
least work, and the fastest on a CPU, where ONNX Runtime fuses the nonlinearity and the sums into
them. 'matrix': a product with a constant matrix along each axis, before the nonlinearity and after
it. That is more work, but in few large products, as tensor cores like them, and without grouped
convolutions, which some versions of TensorRT cannot build in half precision. Only the radial filter
of an R is one, as it is no product. 'frames': the phases of a channel are channels side by side, so
that all of them come of one grouped convolution: few nodes and few values in between, for GPUs in
float32. Each group makes four values, which a shader of WebGPU computes as one vector. It is half
as fast as 'phases' on a CPU.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from typing_extensions import override

from stylert.export import lowering_filters
from stylert.export.checkpoints import StyleGAN3Layer
from stylert.export.graphs.emitter import SynthesisEmitter

__all__ = ["FORMS", "FilteredLrelu", "FrameForm", "MatrixForm", "PhaseForm"]

Phases = dict[tuple[int, int], ir.Value]  # by phase of the rows, and of the columns

FRAME = 4  # samples of a frame along an axis, of FrameForm: as many as a vector of shaders has
BAND = 256  # rows of a matrix that are multiplied at once: fewer have fewer zeros beside them


class FilteredLrelu(ABC):
    """A filtered leaky ReLU without its gain, which goes before it.

    Attributes:
        reads: rows of the input that are read, and columns: each from the first up to, not with,
            the second of the two.
    """

    reads: list[tuple[int, int]]

    def __init__(
        self,
        emitter: SynthesisEmitter,
        layer: StyleGAN3Layer,
        up_fir: np.ndarray,
        down_fir: np.ndarray,
    ) -> None:
        self.emitter = emitter
        self.layer = layer
        self.up_fir = up_fir
        self.down_fir = down_fir
        self.constants: dict[tuple[str, tuple[int, ...]], ir.Value] = {}
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Split the filters as the form needs them, and set what it `reads`."""

    @property
    def overshoot(self) -> float:
        """How many times as large as its input the upsampled signal may be."""
        up = self.layer.up
        along_an_axis = max(np.abs(self.up_fir[phase::up]).sum() * up for phase in range(up))
        return float(along_an_axis**2)

    def emit(self, x: ir.Value, channels: int, clamp: float | None) -> ir.Value:
        """From what is read of the input [N, C, h, w] to [N, C, *out_shape]."""
        layer, read = self.layer, tuple(stop - start for start, stop in self.reads)
        has_filters = (layer.up, layer.down, layer.up_taps, layer.down_taps) != (1, 1, 0, 0)
        if not has_filters and read == layer.out_shape:
            return self.emitter.clamp(self.lrelu(x), clamp)
        return self.filter(x, channels, clamp)

    @abstractmethod
    def filter(self, x: ir.Value, channels: int, clamp: float | None) -> ir.Value:
        """What `emit` does where there are filters, or zeros to put around."""

    def lrelu(self, x: ir.Value) -> ir.Value:
        """The nonlinearity without its clamp."""
        if self.layer.slope == 1:
            return x
        return self.emitter.graph.op("LeakyRelu", x, name="lrelu", alpha=self.layer.slope)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """A constant that all groups of channels share; `name` is its own within the layer."""
        key = name, array.shape
        if key not in self.constants:
            self.constants[key] = self.emitter.constant(name, array)
        return self.constants[key]

    def depthwise(
        self,
        x: ir.Value,
        kernel: np.ndarray,  # [h, w]
        channels: int,
        name: str,
        **options: tuple[int, ...],
    ) -> ir.Value:
        """The same filter for every channel, with options of `grouped`."""
        return self.grouped(x, kernel[None, None], channels, name, **options)

    def grouped(
        self,
        x: ir.Value,
        kernels: np.ndarray,  # of a group: [O, I, h, w]
        groups: int,
        name: str,
        *,
        pads: tuple[int, ...] = (0, 0, 0, 0),  # top, left, bottom, right
        strides: tuple[int, ...] = (1, 1),
    ) -> ir.Value:
        """The same convolution in every group of channels."""
        return self.emitter.graph.op(
            "Conv",
            x,
            self.constant(f"{name}_weight", np.tile(kernels, (groups, 1, 1, 1))),
            name=name,
            kernel_shape=list(kernels.shape[2:]),
            pads=list(pads),
            strides=list(strides),
            group=groups,
        )

    def cut(
        self,
        x: ir.Value,
        start: int | Sequence[int],
        stop: int | Sequence[int],
        axes: list[int],
        name: str,
    ) -> ir.Value:
        """What is from `start` up to, not with, `stop` along the axes: of all, or of each."""
        g = self.emitter.graph
        bounds = (
            g.constant(f"{name}_start", np.full(len(axes), start)),
            g.constant(f"{name}_stop", np.full(len(axes), stop)),
        )
        at = g.shared(f"axes_{''.join(map(str, axes))}", np.array(axes))
        return g.op("Slice", x, *bounds, at, name=name)


class SplitForm(FilteredLrelu):
    """The samples of the high rate, split into phases."""

    frame: int | None = None  # samples in a frame; None = the fewest

    @override
    def prepare(self) -> None:
        layer = self.layer
        self.splits = [
            lowering_filters.split_into_phases(
                self.up_fir,
                self.down_fir,
                up=layer.up,
                down=layer.down,
                before=before,
                out_size=size,
                frame=self.frame,
            )
            for (before, _), size in zip(layer.pads, layer.out_shape, strict=True)
        ]
        self.down = self.splits[0].down  # of both axes: only `up` depends on the padding
        self.count = len(self.splits[0].up)  # phases along an axis
        self.outputs = len(self.down)  # samples of an output frame along an axis
        self.reads, self.pads = [], []
        for split, size in zip(self.splits, layer.conv_shape, strict=True):
            start, stop = split.first, split.first + split.samples
            self.reads.append((max(start, 0), min(stop, size)))
            self.pads.append((max(-start, 0), max(stop - size, 0)))

    def put_in_place(self, x: ir.Value, mode: str) -> ir.Value:
        """From the samples of the output frames, which are channels, to [N, C, *out_shape]."""
        g, shape = self.emitter.graph, self.layer.out_shape
        if self.outputs == 1:
            return x
        x = g.op("DepthToSpace", x, name="to_space", blocksize=self.outputs, mode=mode)
        if tuple(split.frames * self.outputs for split in self.splits) == shape:
            return x
        return self.cut(x, 0, shape, [2, 3], "cut")


class PhaseForm(SplitForm):
    """Depthwise convolutions to the phases of the high rate, and from them."""

    @override
    def filter(self, x: ir.Value, channels: int, clamp: float | None) -> ir.Value:
        (top, bottom), (left, right) = self.pads
        along_columns, along_rows = self.splits
        stride = along_rows.stride
        phases = {}
        for p, taps in enumerate(along_columns.up):
            pads = top, 0, bottom, 0
            rows = self.depthwise(
                x, taps[:, None], channels, f"up{p}", pads=pads, strides=(stride, 1)
            )
            for q, taps_q in enumerate(along_rows.up):
                pads = 0, left, 0, right
                phase = self.depthwise(
                    rows, taps_q[None], channels, f"up{p}_{q}", pads=pads, strides=(1, stride)
                )
                phases[p, q] = self.bend(phase, channels, clamp, f"phase{p}_{q}")
        down = self.filter_radially if self.layer.down_radial else self.filter_separably
        samples = down(phases, channels)
        if len(samples) == 1:
            return samples[0]
        x = self.emitter.graph.op("Concat", *samples, name="outputs", axis=1)
        return self.put_in_place(x, "DCR")

    def bend(self, x: ir.Value, channels: int, clamp: float | None, at: str) -> ir.Value:
        """The nonlinearity by itself, of one phase."""
        e = self.emitter
        with e.graph.scope(at):
            x = self.lrelu(x)
            if clamp is None:
                return x
            # ONNX Runtime computes one activation along with a convolution. A second one by itself
            # would take the values out of the blocked layout and back: 3% of the time of a T, and
            # 11% of that of an R.
            x = self.depthwise(x, np.ones((1, 1)), channels, "as_it_is")
            return e.clamp(x, clamp)

    def filter_separably(self, phases: Phases, channels: int) -> list[ir.Value]:
        """The samples of the output frames, row by row: filtered along the rows, then down."""
        kernels = self.down  # [S, P, t]
        every_phase, every_output = range(self.count), range(self.outputs)
        rows = {
            (p, s): self.add_up(
                [(phases[p, q], kernels[s, q][None]) for q in every_phase],
                channels,
                f"row{p}_down{s}",
            )
            for p in every_phase
            for s in every_output
        }
        return [
            self.add_up(
                [(rows[p, s], kernels[r, p][:, None]) for p in every_phase],
                channels,
                f"down{r}_{s}",
            )
            for r in every_output
            for s in every_output
        ]

    def filter_radially(self, phases: Phases, channels: int) -> list[ir.Value]:
        """The samples of the output frames, row by row, with a 2-D filter."""
        kernels = self.down  # [S, S, P, P, t, t]
        return [
            self.add_up(
                [(phase, kernels[(r, s, *at)]) for at, phase in phases.items()],
                channels,
                f"down{r}_{s}",
            )
            for r, s in np.ndindex(self.outputs, self.outputs)
        ]

    def add_up(
        self, terms: list[tuple[ir.Value, np.ndarray]], channels: int, name: str
    ) -> ir.Value:
        """The sum of filtered phases."""
        total = None
        for i, (x, kernel) in enumerate(terms):
            if kernel.any():
                x = self.depthwise(x, kernel, channels, f"{name}_of{i}")
                g = self.emitter.graph
                total = x if total is None else g.op("Add", total, x, name=f"{name}_sum{i}")
        assert total is not None
        return total


class MatrixForm(FilteredLrelu):
    """Products with constant matrices; a radial filter is a convolution."""

    @override
    def prepare(self) -> None:
        layer = self.layer
        self.reads, self.up_matrices = [], []
        for size, pads in zip(layer.conv_shape, layer.pads, strict=True):
            matrix = lowering_filters.make_up_matrix(self.up_fir, size, up=layer.up, padding=pads)
            read = np.flatnonzero(matrix.any(axis=0))
            self.reads.append((int(read[0]), int(read[-1]) + 1))
            self.up_matrices.append(matrix[:, slice(*self.reads[-1])])

    @override
    def filter(self, x: ir.Value, channels: int, clamp: float | None) -> ir.Value:
        x = self.multiply(x, self.up_matrices, "up")
        with self.emitter.graph.scope("high"):
            x = self.emitter.clamp(self.lrelu(x), clamp)
        down = self.layer.down
        if self.layer.down_radial:
            kernel = self.down_fir[::-1, ::-1]
            return self.depthwise(x, kernel, channels, "down", strides=(down, down))
        matrices = [
            lowering_filters.make_down_matrix(self.down_fir, size, down=down)
            for size in self.layer.activation_shape
        ]
        return self.multiply(x, matrices, "down")

    def multiply(self, x: ir.Value, matrices: Sequence[np.ndarray], name: str) -> ir.Value:
        """A matrix along the columns, then one along the rows."""
        for matrix, axis, along in zip(matrices, (2, 3), ("columns", "rows"), strict=True):
            bands = lowering_filters.split_into_bands(matrix, BAND)
            if len(bands) == 1:
                bands = [(0, matrix)]
            parts = []
            for i, (start, block) in enumerate(bands):
                part, at = x, f"{name}_{along}{i}"
                if len(bands) > 1:
                    part = self.cut(x, start, start + block.shape[1], [axis], f"{at}_part")
                parts.append(self.multiply_along(part, block, axis, at))
            x = parts[0]
            if len(bands) > 1:
                x = self.emitter.graph.op("Concat", *parts, name=f"{name}_{along}_bands", axis=axis)
        return x

    def multiply_along(self, x: ir.Value, matrix: np.ndarray, axis: int, name: str) -> ir.Value:
        """The matrix along an axis."""
        g = self.emitter.graph
        if axis == 2:
            return g.op("MatMul", self.constant(f"{name}_matrix", matrix), x, name=name)
        return g.op("MatMul", x, self.constant(f"{name}_matrix", matrix.T), name=name)


class FrameForm(SplitForm):
    """Grouped convolutions: each sample of a frame is a channel, beside the others of its own."""

    @override
    def prepare(self) -> None:
        least = math.lcm(self.layer.up, self.layer.down)
        self.frame = least if least == 1 else math.lcm(least, FRAME)
        super().prepare()

    @override
    def filter(self, x: ir.Value, channels: int, clamp: float | None) -> ir.Value:
        (top, bottom), (left, right) = self.pads
        along_columns, along_rows = self.splits
        up, pads = along_columns.up[:, None, :, None], (top, 0, bottom, 0)
        x = self.grouped(
            x, up, channels, "up_columns", pads=pads, strides=(along_columns.stride, 1)
        )
        up, pads = along_rows.up[:, None, None], (0, left, 0, right)
        x = self.grouped(
            x, up, channels * self.count, "up_rows", pads=pads, strides=(1, along_rows.stride)
        )
        with self.emitter.graph.scope("high"):
            x = self.bend(x, clamp)
        if self.layer.down_radial:
            S, P, t = self.down.shape[1::2]
            x = self.grouped(x, self.down.reshape(S * S, P * P, t, t), channels, "down")
        else:
            S, P, t = self.down.shape
            x = self.grouped(x, self.down[:, :, None], channels * P, "down_rows")
            # The samples of a row are those of one phase, by themselves along the columns.
            kernels = np.einsum("rpt,sv->rspvt", self.down, np.eye(S)).reshape(S * S, P * S, t, 1)
            x = self.grouped(x, kernels, channels, "down_columns")
        return self.put_in_place(x, "CRD")

    def bend(self, x: ir.Value, clamp: float | None) -> ir.Value:
        """The nonlinearity with its clamp.

        ONNX Runtime before 1.32 fuses a convolution, LeakyRelu and Clip for WebGPU to one that
        only clips. Min and Max are not fused; PRelu would be a kernel of its own in an engine.
        """
        g, x = self.emitter.graph, self.lrelu(x)
        if clamp is None:
            return x
        x = g.op("Min", x, self.emitter.constant("high", np.array(float(clamp))), name="at_most")
        return g.op("Max", x, self.emitter.constant("low", np.array(-clamp)), name="at_least")


FORMS: dict[str, type[FilteredLrelu]] = {
    "phases": PhaseForm,
    "matrix": MatrixForm,
    "frames": FrameForm,
}
