"""The image tower of CLIP ViT-B/32: 512 numbers, which lie near those of pictures like it.

It is OpenAI's, with their quick GELU. Its weights come under two sets of names, OpenAI's own and
those of the library transformers; both hold the text tower, too, which is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from stylert.export.feature_networks.layers import convolve, scale_pixels
from stylert.export.feature_networks.weights import Weights
from stylert.export.onnx_graph import GraphBuilder

__all__ = ["VIT_B_32", "Tower", "emit_clip_image"]

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])  # of pixels of 0 to 1
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711])
EPS = 1e-5
HEAD = 64  # numbers of an attention head
QUICK_GELU = 1.702
# OpenAI's names, and those of transformers, of a block.
PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
QUERY_KEY_VALUE = ("q", "k", "v")


@dataclass(frozen=True)
class Tower:
    """The sizes of a vision transformer."""

    size: int  # of a picture
    patch: int
    width: int
    blocks: int
    dim: int  # of what comes out


VIT_B_32 = Tower(size=224, patch=32, width=768, blocks=12, dim=512)


def emit_clip_image(
    g: GraphBuilder, x: ir.Value, weights: Weights, *, tower: Tower = VIT_B_32
) -> ir.Value:
    """The features [N, 512] of pixels [N, 3, 224, 224] of 0 to 255; not scaled to unit length."""
    taken = _Names(weights, tower)
    net = _Transformer(g, tower)
    D, cells = tower.width, (tower.size // tower.patch) ** 2
    x = scale_pixels(g, x, 1 / (255 * DEVIATION), -MEAN / DEVIATION)
    patches = taken.take_patches()
    x = convolve(g, x, patches, None, name="patches", stride=tower.patch)  # [N, D, rows, columns]
    shape = g.constant("patches/shape", np.array([0, D, cells]))
    x = g.op("Reshape", x, shape, name="patches/rows")
    x = g.op("Transpose", x, name="patches/tokens", perm=[0, 2, 1])  # [N, cells, D]
    # The token of the class comes first: a row more, of zeros, and then what belongs to each place.
    x = g.op("Pad", x, g.constant("pads", np.array([0, 1, 0, 0, 0, 0])), name="with_class")
    places = taken.take_places()
    places[0] += taken.take_class()
    x = g.op("Add", x, g.constant("places", places), name="placed")  # [N, 1 + cells, D]
    x = net.normalize(x, "before", *taken.take_norm("before"))
    for number in range(tower.blocks):
        x = net.add_block(x, taken, number)
    first = g.constant("class", np.array(0))
    x = g.op("Gather", x, first, name="of_class", axis=1)  # [N, D]
    x = net.normalize(x, "behind", *taken.take_norm("behind"))
    return g.op("MatMul", x, g.constant("projection", taken.take_projection()), name="projected")


class _Transformer:
    """Layers of the tower on tokens [N, T, D]."""

    def __init__(self, g: GraphBuilder, tower: Tower) -> None:
        self._g = g
        self._width = tower.width
        self._heads = tower.width // HEAD

    def normalize(self, x: ir.Value, name: str, scale: np.ndarray, shift: np.ndarray) -> ir.Value:
        constants = self._g.constant(f"{name}.scale", scale), self._g.constant(f"{name}.b", shift)
        return self._g.op("LayerNormalization", x, *constants, name=name, epsilon=EPS)

    def add_block(self, x: ir.Value, taken: _Names, number: int) -> ir.Value:
        """Attention, and then a perceptron for each token, both beside what came in."""
        g, wide = self._g, 4 * self._width
        with g.scope(f"block{number}"):
            y = self.normalize(x, "norm1", *taken.take_part(number, "ln_1"))
            y = self._attend(y, *taken.take_attention(number))
            size = self._width, self._width
            y = self._multiply(y, "out", *taken.take_part(number, "attn.out_proj", *size))
            x = g.op("Add", x, y, name="attended")
            y = self.normalize(x, "norm2", *taken.take_part(number, "ln_2"))
            y = self._multiply(y, "wide", *taken.take_part(number, "mlp.c_fc", wide, self._width))
            y = self._activate(y)
            y = self._multiply(
                y, "narrow", *taken.take_part(number, "mlp.c_proj", self._width, wide)
            )
            return g.op("Add", x, y, name="sum")

    def _multiply(self, x: ir.Value, name: str, weight: np.ndarray, bias: np.ndarray) -> ir.Value:
        y = self._g.op("MatMul", x, self._g.constant(f"{name}.w", weight.T), name=f"{name}/matmul")
        return self._g.op("Add", y, self._g.constant(f"{name}.b", bias), name=name)

    def _activate(self, x: ir.Value) -> ir.Value:
        slope = self._g.constant("slope", np.full((), QUICK_GELU, np.float32))
        steep = self._g.op("Mul", x, slope, name="steep")
        gate = self._g.op("Sigmoid", steep, name="gate")
        return self._g.op("Mul", x, gate, name="gelu")

    def _attend(self, x: ir.Value, weight: np.ndarray, bias: np.ndarray) -> ir.Value:
        """All heads at once: [N, T, D] -> [N, T, D]."""
        g = self._g
        weight, bias = weight.copy(), bias.copy()
        weight[: self._width] *= HEAD**-0.5  # of the queries
        bias[: self._width] *= HEAD**-0.5
        joined = self._multiply(x, "qkv", weight, bias)  # [N, T, 3 D]
        shape = g.constant("heads", np.array([0, 0, 3, self._heads, HEAD]))
        heads = g.op("Reshape", joined, shape, name="by_head")  # [N, T, 3, heads, HEAD]
        query, key, value = (
            g.op("Gather", heads, g.constant(name, np.array(i)), name=f"{name}/of", axis=2)
            for i, name in enumerate(QUERY_KEY_VALUE)
        )  # [N, T, heads, HEAD]
        query = g.op("Transpose", query, name="queries", perm=[0, 2, 1, 3])
        key = g.op("Transpose", key, name="keys", perm=[0, 2, 3, 1])
        value = g.op("Transpose", value, name="values", perm=[0, 2, 1, 3])
        scores = g.op("MatMul", query, key, name="scores")  # [N, heads, T, T]
        shares = g.op("Softmax", scores, name="shares", axis=-1)
        y = g.op("MatMul", shares, value, name="mixed")  # [N, heads, T, HEAD]
        y = g.op("Transpose", y, name="tokens", perm=[0, 2, 1, 3])
        flat = g.constant("flat", np.array([0, 0, self._width]))
        return g.op("Reshape", y, flat, name="joined")


class _Names:
    """The weights by what they are for, under either set of names."""

    def __init__(self, weights: Weights, tower: Tower) -> None:
        self._weights = weights
        self._tower = tower
        self._is_openai = "vision_model.embeddings.class_embedding" not in weights
        self._root = "visual." if self._is_openai else "vision_model."

    def take_patches(self) -> np.ndarray:
        p, D = self._tower.patch, self._tower.width
        name = "conv1" if self._is_openai else "embeddings.patch_embedding"
        return self._take(f"{name}.weight", D, 3, p, p)

    def take_places(self) -> np.ndarray:
        """[1 + cells, D]."""
        cells = (self._tower.size // self._tower.patch) ** 2
        name = "positional_embedding"
        name = name if self._is_openai else "embeddings.position_embedding.weight"
        return self._take(name, 1 + cells, self._tower.width)

    def take_class(self) -> np.ndarray:
        name = "class_embedding" if self._is_openai else "embeddings.class_embedding"
        return self._take(name, self._tower.width)

    def take_norm(self, which: str) -> tuple[np.ndarray, np.ndarray]:
        openai = {"before": "ln_pre", "behind": "ln_post"}
        theirs = {"before": "pre_layrnorm", "behind": "post_layernorm"}  # their own slip
        return self._take_pair((openai if self._is_openai else theirs)[which], self._tower.width)

    def take_part(self, number: int, part: str, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a layer of a block."""
        return self._take_pair(self._find(number, part), *(shape or (self._tower.width,)))

    def take_attention(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight [3 D, D] and bias of queries, keys and values."""
        D = self._tower.width
        if self._is_openai:
            at = self._find(number, "attn.in_proj_")
            return self._take(f"{at}weight", 3 * D, D), self._take(f"{at}bias", 3 * D)
        at = f"encoder.layers.{number}.self_attn."
        pairs = [self._take_pair(f"{at}{name}_proj", D, D) for name in QUERY_KEY_VALUE]
        weight, bias = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        return weight, bias

    def take_projection(self) -> np.ndarray:
        """[D, dim]."""
        D, dim = self._tower.width, self._tower.dim
        if self._is_openai:
            return self._take("proj", D, dim)
        return self._weights.take("visual_projection.weight", dim, D).T

    def _find(self, number: int, part: str) -> str:
        if self._is_openai:
            return f"transformer.resblocks.{number}.{part}"
        return f"encoder.layers.{number}.{PARTS[part]}"

    def _take_pair(self, name: str, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        return self._take(f"{name}.weight", *shape), self._take(f"{name}.bias", shape[0])

    def _take(self, name: str, *shape: int) -> np.ndarray:
        return self._weights.take(f"{self._root}{name}", *shape)
