"""onnx.checker on a graph in a file, shapes and types included."""

from __future__ import annotations

from pathlib import Path

import onnx

from stylert.runtime.errors import StylertError

__all__ = ["check_graph", "find_fault"]


def find_fault(path: Path) -> str:
    """What is wrong with a graph, in one line; '' = nothing."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return " ".join(str(error).split())
    return ""


def check_graph(path: Path, name: str) -> None:
    """Refuse a graph that we wrote and that is not valid.

    Args:
        path: where it is.
        name: of the file that it is to be, for the message.

    Raises:
        StylertError: so it is, which is a bug of StyleRT.
    """
    if fault := find_fault(path):
        raise StylertError(f"{name} is not valid ONNX: {fault}")
