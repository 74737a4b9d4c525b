"""An encoder as an ONNX graph: photo -> ws, the average included.

With feedback it is one pass: photo, img and codes -> ws. Normalisations are folded into the
convolutions before them. The one that stands before a zero-padded convolution stays a node: its
shift would be wrong at the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.encoders.config import POOLED, Encoder, EncoderConfig, list_units
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_encoder_graph", "list_blocks"]

_EPSILON = 1e-5  # of every batch normalisation


def build_encoder_graph(
    encoder: Encoder, image: tuple[int, int, int], half_blocks: Sequence[str] = ()
) -> GraphBuilder:
    """The graph.

    Args:
        encoder: the encoder.
        image: channels, height and width of the generator's pictures, which come back to it.
        half_blocks: of `list_blocks`, those that compute in half precision.
    """
    return _EncoderGraph(encoder, half_blocks).build(image)


def list_blocks(c: EncoderConfig) -> tuple[str, ...]:
    """The parts that may compute in half precision; means, dense layers and codes do not."""
    if c.backbone == "plain":
        return ("stem", *(f"{kind}{i}" for i in range(len(c.widths) - 1) for kind in _PLAIN))
    units = tuple(f"body{i}" for i in range(len(list_units(c))))
    return ("input", *units, *(("head",) if c.head in ("pyramid", "flat") else ()))


class _EncoderGraph:
    def __init__(self, encoder: Encoder, half_blocks: Sequence[str]) -> None:
        self.config = encoder.config
        self.tensors = encoder.tensors
        self.average = encoder.average
        self.graph = GraphBuilder("encoder", compact=_keeps_halves(encoder))
        self.half = frozenset(half_blocks)
        self.dtype = "float32"  # of what is computed
        self.halves: set[str] = set()  # names of what was computed in half precision

    def build(self, image: tuple[int, int, int]) -> GraphBuilder:
        c, g = self.config, self.graph
        photo = g.input("photo", ["N", c.channels, c.height, c.width])
        x, codes = photo, None
        if c.feedback:
            img = g.input("img", ["N", *image])
            codes = g.input("codes", ["N", c.num_ws, c.w_dim])
            with g.scope("feedback"):
                x = g.op("Concat", photo, self.pool(img, image), name="concat", axis=1)
        emit = {"ir_se50": self.face_backbone, "resnet34": self.resnet, "plain": self.plain}
        maps = emit[c.backbone](x)
        ws = self.finish(self.head(maps))
        if codes is not None:
            ws = g.op("Add", codes, ws, name="add_codes")
        elif self.average is not None:
            ws = g.op("Add", ws, g.constant("average", self.average[None]), name="add_average")
        g.output(ws, "ws", "float32", ["N", c.num_ws, c.w_dim])
        return g

    def pool(self, img: ir.Value, image: tuple[int, int, int]) -> ir.Value:
        """The generator's picture at the size of the photo: means, or each pixel several times."""
        c, g = self.config, self.graph
        height, width = image[1:]
        if c.rows is not None:
            bounds = [
                g.constant(name, np.array([n]))
                for name, n in zip(("first", "end"), c.rows, strict=True)
            ]
            img = g.op("Slice", img, *bounds, g.constant("axis", np.array([2])), name="rows")
            height = c.rows[1] - c.rows[0]
        if (height, width) == (c.height, c.width):
            return img
        if height > c.height:
            sides = [height // c.height, width // c.width]
            return g.op("AveragePool", img, name="pool", kernel_shape=sides, strides=sides)
        scales = np.array([1, 1, c.height / height, c.width / width])
        return g.op(
            "Resize",
            img,
            None,
            g.constant("scales", scales),
            name="enlarge",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    # Precisions.

    def enter(self, x: ir.Value, block: str) -> ir.Value:
        """From here on, compute in a block's precision."""
        self.dtype = "float16" if block in self.half else "float32"
        return self.convert(x)

    def convert(self, x: ir.Value) -> ir.Value:
        """The same in the precision in which is computed."""
        if (x.name in self.halves) == (self.dtype == "float16"):
            return x
        name = f"{str(x.name).replace('/', '.')}.{self.dtype}"
        return self.keep(self.graph.cast(x, self.dtype, name=name))

    def keep(self, x: ir.Value) -> ir.Value:
        """Note the precision of what is handed on."""
        if self.dtype == "float16":
            self.halves.add(str(x.name))
        return x

    def leave(self, *maps: ir.Value) -> list[ir.Value]:
        """From here on, compute in float32."""
        self.dtype = "float32"
        return [self.convert(x) for x in maps]

    # Backbones.

    def face_backbone(self, x: ir.Value) -> list[ir.Value]:
        maps = []
        with self.graph.scope("input"):
            x = self.conv(self.enter(x, "input"), "input_layer.0", norm="input_layer.1")
            x = self.keep(self.prelu(x, "input_layer.2"))
        for i, (wide, depth, stride) in enumerate(list_units(self.config)):
            with self.graph.scope(f"body{i}"):
                x = self.enter(x, f"body{i}")
                x = self.keep(self.face_unit(x, f"body.{i}", stride, projects=wide != depth))
            maps.append(x)
        return self.leave(maps[6], maps[20], maps[23])

    def face_unit(self, x: ir.Value, name: str, stride: int, *, projects: bool) -> ir.Value:
        g, layer = self.graph, f"{name}.res_layer"
        y = self.normalize(x, f"{layer}.0")
        with g.scope("conv0"):
            y = self.prelu(self.conv(y, f"{layer}.1"), f"{layer}.2")
        with g.scope("conv1"):
            y = self.conv(y, f"{layer}.3", stride=stride, norm=f"{layer}.4")
        with g.scope("excite"):
            dtype = self.dtype
            (z,) = self.leave(self.keep(y))
            weights = self.mean(z)
            weights = g.op("Relu", self.conv(weights, f"{layer}.5.fc1", label="fc1"), name="relu")
            weights = self.conv(weights, f"{layer}.5.fc2", label="fc2")
            weights = g.op("Sigmoid", weights, name="sigmoid")
            self.dtype = dtype
            y = g.op("Mul", y, self.convert(weights), name="excite")
        with g.scope("around"):
            around = x
            if projects:
                parts = f"{name}.shortcut_layer"
                around = self.conv(x, f"{parts}.0", stride=stride, norm=f"{parts}.1")
            elif stride > 1:  # every other pixel
                steps = [stride, stride]
                around = g.op("MaxPool", x, name="skip", kernel_shape=[1, 1], strides=steps)
        return g.op("Add", y, around, name="add")

    def resnet(self, x: ir.Value) -> list[ir.Value]:
        maps = []
        with self.graph.scope("input"):
            x = self.conv(self.enter(x, "input"), "conv1", stride=2, norm="bn1")
            x = self.keep(self.prelu(x, "relu"))
        for i, (wide, depth, stride) in enumerate(list_units(self.config)):
            with self.graph.scope(f"body{i}"):
                projects = wide != depth or stride > 1
                x = self.enter(x, f"body{i}")
                x = self.keep(self.basic_unit(x, f"body.{i}", stride, projects=projects))
            maps.append(x)
        return self.leave(maps[6], maps[12], maps[15])

    def basic_unit(self, x: ir.Value, name: str, stride: int, *, projects: bool) -> ir.Value:
        g, around = self.graph, x
        with g.scope("conv0"):
            y = self.conv(x, f"{name}.conv1", stride=stride, norm=f"{name}.bn1")
            y = g.op("Relu", y, name="relu")
        with g.scope("conv1"):
            y = self.conv(y, f"{name}.conv2", norm=f"{name}.bn2")
        if projects:
            with g.scope("around"):
                parts = f"{name}.downsample"
                around = self.conv(x, f"{parts}.0", stride=stride, norm=f"{parts}.1")
        return g.op("Relu", g.op("Add", y, around, name="add"), name="relu")

    def plain(self, x: ir.Value) -> list[ir.Value]:
        c, g = self.config, self.graph
        with g.scope("stem"):
            x = self.space_to_channels(self.enter(x, "stem"))
            x = self.keep(self.leak(self.conv(x, "stem"), 0.2))
        for i in range(len(c.widths) - 1):
            with g.scope(f"down{i}"):
                x = self.enter(x, f"down{i}")
                x = self.keep(self.leak(self.conv(x, f"down.{i}", stride=2), 0.2))
            with g.scope(f"same{i}"):
                x = self.enter(x, f"same{i}")
                y = self.leak(self.conv(x, f"same.{i}"), 0.2)
                x = self.keep(g.op("Add", x, y, name="add"))
        with g.scope("hidden"):
            x = g.op("Flatten", *self.leave(x), name="flatten", axis=1)
            return [self.leak(self.dense(x, "hidden"), 0.2)]

    def space_to_channels(self, x: ir.Value) -> ir.Value:
        """Squares of 2x2 pixels as channels, in torch's order: colour, row, column."""
        c, g = self.config, self.graph
        shape = [0, c.in_channels, c.height // 2, 2, c.width // 2, 2]
        x = g.op("Reshape", x, g.constant("squares", np.array(shape)), name="squares_of")
        x = g.op("Transpose", x, name="order", perm=[0, 1, 3, 5, 2, 4])
        shape = [0, 4 * c.in_channels, c.height // 2, c.width // 2]
        return g.op("Reshape", x, g.constant("channels", np.array(shape)), name="channels_of")

    # Heads: codes [N, num_codes, w_dim].

    def head(self, maps: list[ir.Value]) -> ir.Value:
        emit = {"w": self.mean_head, "w_plus": self.dense_head, "plain": self.plain_head}
        return emit.get(self.config.head, self.blocks)(maps)

    def blocks(self, maps: list[ir.Value]) -> ir.Value:
        c, g = self.config, self.graph
        with g.scope("head"):  # the maps from the smallest to the largest
            scales = [self.enter(x, "head") for x in maps[::-1]]
        if c.head == "pyramid":
            for i in (1, 2):
                with g.scope(f"pyramid{i}"):
                    side = self.conv(scales[i], f"latlayer{i}", padded=False)
                    scales[i] = g.op("Add", self.enlarge(scales[i - 1]), side, name="add")
        axis = g.constant("code_axis", np.array([1]))
        codes = []
        dtype = self.dtype
        for code in range(min(c.num_codes, c.num_ws)):
            with g.scope(f"styles{code}"):
                self.dtype = dtype
                x = scales[c.find_scale(code)]
                for i in range(c.count_convs(code)):
                    with g.scope(f"conv{i}"):
                        x = self.leak(self.conv(x, f"styles.{code}.convs.{2 * i}", stride=2), 0.01)
                (x,) = self.leave(self.keep(x))
                x = g.op("Flatten", x, name="flatten", axis=1)
                x = self.dense(x, f"styles.{code}.linear", equalised=True)
                codes.append(g.op("Unsqueeze", x, axis, name="code"))
        return g.op("Concat", *codes, name="join_codes", axis=1)

    def enlarge(self, x: ir.Value) -> ir.Value:
        """Twice the size, corner to corner."""
        g = self.graph
        return g.op(
            "Resize",
            x,
            None,
            g.constant("scales", np.array([1.0, 1, 2, 2])),
            name="enlarge",
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def mean_head(self, maps: list[ir.Value]) -> ir.Value:
        g = self.graph
        x = g.op("Flatten", self.mean(maps[-1]), name="flatten", axis=1)
        return self.as_code(self.dense(x, "linear", equalised=True))

    def plain_head(self, maps: list[ir.Value]) -> ir.Value:
        return self.as_code(self.dense(maps[0], "codes"))

    def as_code(self, x: ir.Value) -> ir.Value:
        axis = self.graph.constant("code_axis", np.array([1]))
        return self.graph.op("Unsqueeze", x, axis, name="code")

    def dense_head(self, maps: list[ir.Value]) -> ir.Value:
        """Windows of unequal sizes have no operator in ONNX; their means are a product."""
        c, g = self.config, self.graph
        with g.scope("output"):
            x = self.normalize(maps[-1], "output_layer_2.0")
            rows, columns = (_pool_matrix(side // 16) for side in (c.height, c.width))
            x = g.op("MatMul", g.constant("rows", rows), x, name="pool_rows")
            x = g.op("MatMul", x, g.constant("columns", columns.T), name="pool_columns")
            x = g.op("Flatten", x, name="flatten", axis=1)
            x = self.dense(x, "output_layer_2.3")
        with g.scope("linear"):
            x = self.dense(x, "linear", equalised=True)
        shape = g.constant("shape", np.array([0, c.num_codes, c.w_dim]))
        return g.op("Reshape", x, shape, name="split_codes")

    def finish(self, codes: ir.Value) -> ir.Value:
        """The codes [N, num_ws, w_dim] of the generator's layers."""
        c, g = self.config, self.graph
        if c.offsets:
            # The first code is added to all others, and nothing to itself.
            first = g.op("Slice", codes, *self.slices(0, 1), name="first")
            others = g.op("Slice", codes, *self.slices(1, c.num_ws, "others"), name="others")
            others = g.op("Add", others, first, name="add_first")
            return g.op("Concat", first, others, name="layers", axis=1)
        if c.num_codes == 1:
            shape = g.constant("layers", np.array([1, c.num_ws, 1]))
            return g.op("Expand", codes, shape, name="repeat")
        if c.head == "w_plus" and c.num_codes > c.num_ws:
            return g.op("Slice", codes, *self.slices(0, c.num_ws), name="cut")
        return codes

    def slices(self, start: int, end: int, name: str = "first") -> list[ir.Value]:
        g = self.graph
        named = (("start", start), ("end", end), ("axis", 1))
        return [g.constant(f"{name}_{key}", np.array([number])) for key, number in named]

    # Layers.

    def conv(
        self,
        x: ir.Value,
        name: str,
        *,
        stride: int = 1,
        norm: str | None = None,  # folded into it
        padded: bool = True,  # so that the size stays
        label: str = "conv",
    ) -> ir.Value:
        g, weight = self.graph, self.tensors[f"{name}.weight"]
        bias = self.tensors.get(f"{name}.bias")
        if norm is not None:
            scale, shift = self.find_affine(norm)
            weight, bias = weight * scale[:, None, None, None], shift
        kernel = weight.shape[2]
        pads = [kernel // 2 if padded else 0] * 4
        constants = [g.weight(f"{label}_weight", weight, self.dtype)]
        if bias is not None:
            constants.append(g.constant(f"{label}_bias", bias, self.dtype))
        options = {"kernel_shape": [kernel] * 2, "pads": pads, "strides": [stride] * 2}
        return g.op("Conv", x, *constants, name=label, **options)

    def dense(self, x: ir.Value, name: str, *, equalised: bool = False) -> ir.Value:
        g, weight, bias = self.graph, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        matrix = lowering.fold_dense(weight, bias)[0] if equalised else weight.T
        return g.op("Gemm", x, g.weight("weight", matrix), g.constant("bias", bias), name="gemm")

    def mean(self, x: ir.Value) -> ir.Value:
        """The mean of each channel, [N, C, 1, 1]: of rows first, then of these.

        ONNX Runtime's GlobalAveragePool adds 16,384 numbers up one by one: that loses the last
        digits, and cost a hundred times PyTorch's own rounding error in the codes.
        """
        for axis, name in ((3, "mean_of_rows"), (2, "mean")):
            x = self.graph.op("ReduceMean", x, name=name, axes=[axis], keepdims=1)
        return x

    def find_affine(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A batch normalisation as a scale and a shift, [C] float64."""
        t = {leaf: self.tensors[f"{name}.{leaf}"].astype(np.float64) for leaf in _LEAVES}
        scale = t["weight"] / np.sqrt(t["running_var"] + _EPSILON)
        return scale, t["bias"] - t["running_mean"] * scale

    def normalize(self, x: ir.Value, name: str) -> ir.Value:
        g = self.graph
        if self.dtype == "float16":  # a small variance would lose its digits
            scale, shift = (
                g.constant(f"norm_{key}", array[:, None, None], self.dtype)
                for key, array in zip(("scale", "shift"), self.find_affine(name), strict=True)
            )
            return g.op("Add", g.op("Mul", x, scale, name="scale"), shift, name="norm")
        constants = [g.constant(f"norm_{leaf}", self.tensors[f"{name}.{leaf}"]) for leaf in _LEAVES]
        return g.op("BatchNormalization", x, *constants, name="norm", epsilon=_EPSILON)

    def prelu(self, x: ir.Value, name: str) -> ir.Value:
        slope = self.tensors[f"{name}.weight"][:, None, None]
        return self.graph.op(
            "PRelu", x, self.graph.constant("slope", slope, self.dtype), name="prelu"
        )

    def leak(self, x: ir.Value, slope: float) -> ir.Value:
        return self.graph.op("LeakyRelu", x, name="leak", alpha=slope)


def _keeps_halves(encoder: Encoder) -> bool:
    """Whether all weights are halves, and none is folded: then they are stored as such."""
    with np.errstate(over="ignore"):  # what overflows is none
        return encoder.config.backbone == "plain" and all(
            np.array_equal(array, array.astype(np.float16)) for array in encoder.tensors.values()
        )


_PLAIN = ("down", "same")
_LEAVES = ("weight", "bias", "running_mean", "running_var")


def _pool_matrix(side: int) -> np.ndarray:
    """What makes the means [POOLED] of unequal windows of [side] values: [POOLED, side]."""
    matrix = np.zeros((POOLED, side))
    for i in range(POOLED):
        start, end = side * i // POOLED, math.ceil(side * (i + 1) / POOLED)
        matrix[i, start:end] = 1 / (end - start)
    return matrix
