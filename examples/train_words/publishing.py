"""What is written: the pair as a folder of ONNX files that CLIP packages read, and the reader."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from stylert.examples.train_words.reader import Reader
from stylert.examples.train_words.towers import CONTEXT, DIM, SIZE, Pair

__all__ = ["publish_pair", "publish_reader"]

OPSET = 17


def publish_pair(pair: Pair, tokenizer: Tokenizer, folder: Path, *, about: dict[str, Any]) -> None:
    """Write the layout of the package modern-onnx-clip.

    Args:
        pair: both towers.
        tokenizer: of the texts.
        folder: to write.
        about: what else config.json tells.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture = torch.zeros(1, 3, SIZE, SIZE)
    ids = torch.zeros(1, CONTEXT, dtype=torch.int64)
    ids[0, 1] = tokenizer.get_vocab_size() - 1
    _write(pair.image, picture, folder / "visual.onnx", "image", ["embedding"])
    _write(pair.text, ids, folder / "textual.onnx", "text", ["text_embedding"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "model_name": "stylert-demo",
        "pretrained": "examples/train_words",
        "image_size": SIZE,
        "context_length": CONTEXT,
        "vocab_size": tokenizer.get_vocab_size(),
        "output_dim": DIM,
        **about,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def publish_reader(reader: Reader, path: Path) -> None:
    """Write the reader as one ONNX file."""
    _write(reader, torch.zeros(1, 3, 64, 64), path, "image", ["classes", "hue"])


def _write(module: nn.Module, example: torch.Tensor, path: Path, name: str, out: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the other exporter needs onnxscript
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=[name],
            output_names=out,
            dynamic_axes={value: {0: "N"} for value in (name, *out)},
            opset_version=OPSET,
            dynamo=False,
        )
