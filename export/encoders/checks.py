"""What an encoder's tensors must satisfy, whatever their file: names, shapes and values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.validation import check_names, check_values
from stylert.runtime.errors import CheckpointError

__all__ = ["check_tensors"]


def check_tensors(
    modules: Modules, expected: Mapping[str, tuple[int, ...]], title: str
) -> dict[str, np.ndarray]:
    """The tensors as float32, once they are those that are expected.

    Args:
        modules: What is in the file.
        expected: Shapes by name.
        title: of the encoder, for the message.

    Raises:
        CheckpointError: a tensor is missing, is not known, has another shape, or a value that
            cannot be.
    """
    shapes = {name: tensor.shape for name, tensor in modules.tensors.items()}
    check_names(shapes, list(expected), f"an encoder of {title}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(
                f"{name} of the encoder: got shape {list(shapes[name])}, expected {list(shape)} "
                "as the other tensors have it"
            )
    tensors = {name: modules.read(name) for name in expected}
    check_values(tensors)
    for name, tensor in tensors.items():
        if name.endswith("running_var") and tensor.min() < 0:
            raise CheckpointError(f"{name} of the encoder has a variance below 0")
    return tensors
