"""Pairs of networks as small as they get, in the layouts that people have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

DIM, SIZE, CONTEXT = 6, 8, 7
WORDS = ("red", "green", "blue", "flower", "fish", "[START]", "[END]")
FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


def write_tokenizer(folder: Path, words: tuple[str, ...] = WORDS) -> None:
    """Each word is a token; others are none."""
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{words[-2]} $A {words[-1]}",
        special_tokens=[(word, vocabulary[word]) for word in words[-2:]],
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def image_nodes(dim: int = DIM) -> tuple[list[Any], list[Any]]:
    """From 'pixels' to 'image_points': the mean colour, times a matrix."""
    matrix = np.random.default_rng(1).standard_normal((3, dim)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], "colour", axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "matrix"], ["image_points"], "image_points"),
    ]
    return nodes, [numpy_helper.from_array(matrix, "matrix")]


def text_nodes(dim: int = DIM, tokens: int = len(WORDS)) -> tuple[list[Any], list[Any]]:
    """From 'ids' to 'text_points': the sum of the points of the tokens."""
    table = np.random.default_rng(2).standard_normal((tokens, dim)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["each"], "each"),
        helper.make_node("ReduceSum", ["each", "axis"], ["text_points"], "sum", keepdims=0),
    ]
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    return nodes, [numpy_helper.from_array(table, "table"), axis]


def masked_text_nodes(dim: int = DIM) -> tuple[list[Any], list[Any]]:
    """The same of those tokens alone where 'mask' is 1."""
    (gather, total), tensors = text_nodes(dim)
    total.input[0] = "seen"
    nodes = [
        gather,
        helper.make_node("Cast", ["mask"], ["float_mask"], "cast", to=FLOAT),
        helper.make_node("Unsqueeze", ["float_mask", "last"], ["column"], "column"),
        helper.make_node("Mul", ["each", "column"], ["seen"], "seen"),
        total,
    ]
    return nodes, [*tensors, numpy_helper.from_array(np.array([2], np.int64), "last")]


def write_graph(
    path: Path,
    parts: list[tuple[list[Any], list[Any]]],
    inputs: dict[str, tuple[str, int, list[Any]]],
    outputs: dict[str, tuple[str, list[Any]]],
) -> None:
    """A file of some nodes; inputs and outputs are of the names that it shall have."""
    nodes = [node for some, _ in parts for node in some]
    for node in nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                renamed = {
                    **{k: v[0] for k, v in inputs.items()},
                    **{k: v[0] for k, v in outputs.items()},
                }
                names[i] = renamed.get(name, name)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*value) for value in inputs.values()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.values()],
        [tensor for _, tensors in parts for tensor in tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write_modern(folder: Path, *, image_dim: int = DIM, context: int = CONTEXT) -> Path:
    """modern-onnx-clip: visual.onnx, textual.onnx and config.json."""
    write_graph(
        folder / "visual.onnx",
        [image_nodes(image_dim)],
        {"pixels": ("image", FLOAT, ["batch", 3, SIZE, SIZE])},
        {"image_points": ("embedding", ["batch", image_dim])},
    )
    write_graph(
        folder / "textual.onnx",
        [text_nodes()],
        {"ids": ("text", INT64, ["batch", context])},
        {"text_points": ("text_embedding", ["batch", DIM])},
    )
    config = {"image_size": SIZE, "context_length": context, "output_dim": DIM}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    return folder


def write_onnx_clip(folder: Path) -> Path:
    """onnx-clip: long names, tokens of 32 bits, one row at a time."""
    write_graph(
        folder / "clip_image_model_vitb32.onnx",
        [image_nodes()],
        {"pixels": ("IMAGE", FLOAT, [1, 3, SIZE, SIZE])},
        {"image_points": ("IMAGE_EMBEDDING", [1, DIM])},
    )
    write_graph(
        folder / "clip_text_model_vitb32.onnx",
        [text_nodes()],
        {"ids": ("TEXT", INT32, ["N", CONTEXT])},
        {"text_points": ("TEXT_EMBEDDING", ["N", DIM])},
    )
    write_tokenizer(folder)
    return folder


def write_hugging_face(folder: Path, *, whole: bool = False) -> Path:
    """Hugging Face's: two files in onnx/, or model.onnx that does both; all sizes free."""
    pictures = {"pixels": ("pixel_values", FLOAT, ["N", "C", "H", "W"])}
    tokens = {
        "ids": ("input_ids", INT64, ["M", "L"]),
        "mask": ("attention_mask", INT64, ["M", "L"]),
    }
    of_image = {"image_points": ("image_embeds", ["N", DIM])}
    of_text = {"text_points": ("text_embeds", ["M", DIM])}
    if whole:
        both = [image_nodes(), masked_text_nodes()]
        write_graph(folder / "model.onnx", both, {**tokens, **pictures}, {**of_text, **of_image})
    else:
        write_graph(folder / "onnx/vision_model.onnx", [image_nodes()], pictures, of_image)
        write_graph(folder / "onnx/text_model.onnx", [masked_text_nodes()], tokens, of_text)
        write_graph(folder / "onnx/text_model_fp16.onnx", [masked_text_nodes()], tokens, of_text)
    wishes = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(wishes))
    write_tokenizer(folder)
    return folder
