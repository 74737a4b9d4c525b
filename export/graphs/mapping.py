"""The mapping network of all families as an ONNX graph, the truncation included."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from stylert.export import lowering
from stylert.export.checkpoints import Checkpoint
from stylert.export.graphs.emitter import GAINS, HOMOGENEOUS, Emitter
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["build_mapping_graph"]


def build_mapping_graph(checkpoint: Checkpoint) -> GraphBuilder:
    """The mapping network, with a truncation psi for every image and layer as input."""
    return _Mapping(checkpoint).build()


class _Mapping(Emitter):
    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, "mapping")

    def build(self) -> GraphBuilder:
        c, g = self.config, self.graph
        x = self.join_latent()
        psi = g.input("truncation_psi", ["N", c.num_ws])
        gain = GAINS[c.mapping_activation]
        first = c.mapping_activation in HOMOGENEOUS
        for i in range(c.mapping_layers):
            with g.scope(f"fc{i}"):
                x = self.dense(
                    x,
                    f"mapping.fc{i}",
                    lr_multiplier=c.mapping_lr_multiplier,
                    gain=gain if first else 1,
                )
                x = self.activation(x, c.mapping_activation)
                x = self.scale(x, 1 if first else gain, "gain")
        with g.scope("truncate"):
            ws = self.truncate(x, psi)
        g.output(ws, "ws", "float32", ["N", c.num_ws, c.w_dim])
        return g

    def join_latent(self) -> ir.Value:
        """What goes into the first layer: z and the embedded label, normalised."""
        c, g = self.config, self.graph
        z = g.input("z", ["N", c.z_dim])
        if not c.c_dim:
            return self.normalize(z, "normalize_z")
        label = g.input("c", ["N", c.c_dim])
        if c.class_features:
            self.classes = g.op("ArgMax", label, name="class", axis=1, keepdims=0)  # [N]
            z = self.normalize(z, "normalize_z")
            return g.op(
                "Concat", z, self.look_up("table", self.embed_classes()), name="concat", axis=1
            )
        with g.scope("embed"):
            embedded = self.dense(label, "mapping.embed")
        if not c.joint_normalization:
            z = self.normalize(z, "normalize_z")
            embedded = self.normalize(embedded, "normalize_c")
        x = g.op("Concat", z, embedded, name="concat", axis=1)
        return self.normalize(x, "normalize") if c.joint_normalization else x

    def normalize(self, x: ir.Value, name: str) -> ir.Value:
        """The row scaled to a mean square of 1."""
        g = self.graph
        with g.scope(name):
            mean = g.op(
                "ReduceMean", g.op("Mul", x, x, name="square"), name="mean", axes=[1], keepdims=1
            )
            power = g.op("Add", mean, g.constant("epsilon", np.array(1e-8)), name="power")
            return g.op("Div", x, g.op("Sqrt", power, name="sqrt"), name="divide")

    def look_up(self, name: str, table: np.ndarray) -> ir.Value:
        """The rows [N, ...] of a table [classes, ...]."""
        return self.graph.op(
            "Gather", self.graph.constant(name, table), self.classes, name=f"{name}_row", axis=0
        )

    def embed_classes(self) -> np.ndarray:
        """What goes into the first layer for each class: [classes, E] float64."""
        matrix, bias = lowering.fold_dense(
            self.tensors["mapping.embed_proj.weight"],
            self.tensors["mapping.embed_proj.bias"],
            gain=GAINS["lrelu"],
        )
        x = self.tensors["mapping.embed.weight"].astype(np.float64) @ matrix + bias
        x = np.where(x < 0, 0.2 * x, x)
        normalized: np.ndarray = x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + 1e-8)
        return normalized

    def truncate(self, w: ir.Value, psi: ir.Value) -> ir.Value:
        """w_avg + psi * (w - w_avg), a psi for every layer; w_avg is that of the class, if any."""
        g, w_avg = self.graph, self.tensors["mapping.w_avg"]
        has_table = bool(self.config.class_features)
        mean = self.look_up("w_avg", w_avg) if has_table else g.constant("w_avg", w_avg)
        offset = g.op("Sub", w, mean, name="offset")
        layer_axis = g.constant("layer_axis", np.array([1]))
        offset = g.op("Unsqueeze", offset, layer_axis, name="layers")  # [N, 1, w]
        if has_table:
            mean = g.op("Unsqueeze", mean, layer_axis, name="w_avg_layers")  # [N, 1, w]
        psi = g.op("Unsqueeze", psi, g.constant("w_axis", np.array([2])), name="psi")  # [N, L, 1]
        pulled = g.op("Mul", offset, psi, name="pull")  # [N, L, w]
        return g.op("Add", pulled, mean, name="add")
