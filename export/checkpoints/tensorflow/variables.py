"""From the variables of a TensorFlow network to tensors: which becomes which, and in what layout.

TensorFlow stores the inputs of a layer before its outputs: [in, out], and [kh, kw, in, out].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stylert.runtime.errors import CheckpointError

__all__ = [
    "Conversion",
    "to_conv",
    "to_flipped_conv",
    "scale_by",
    "convert_variables",
    "transpose",
    "drop_leading_ones",
]


@dataclass(frozen=True)
class Conversion:
    """The variable that a tensor comes from, and how."""

    variable: str
    convert: Callable[[np.ndarray], np.ndarray] = lambda array: array


def transpose(array: np.ndarray) -> np.ndarray:
    """[in, out] to [out, in]."""
    return array.transpose(1, 0)


def to_conv(array: np.ndarray) -> np.ndarray:
    """[kh, kw, in, out] to [out, in, kh, kw]."""
    return array.transpose(3, 2, 0, 1)


def to_flipped_conv(array: np.ndarray) -> np.ndarray:
    """The same for a kernel that StyleGAN2 applies the other way round: where it upsamples."""
    return to_conv(array)[:, :, ::-1, ::-1]


def drop_leading_ones(count: int) -> Callable[[np.ndarray], np.ndarray]:
    """Drops the first axes, which have one element each."""
    return lambda array: np.squeeze(array, axis=tuple(range(count)))


def scale_by(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    """Multiplies."""
    return lambda array: array * np.float32(factor)


def convert_variables(
    variables: Mapping[str, np.ndarray], conversions: Mapping[str, Conversion]
) -> dict[str, np.ndarray]:
    """The tensors, float32 and C-contiguous: copies, so that the file's bytes can go.

    Raises:
        CheckpointError: a variable is missing, or has another number of dimensions.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, conversion in conversions.items():
        if conversion.variable not in variables:
            raise CheckpointError(f"the variable {conversion.variable} is missing")
        array = variables[conversion.variable]
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinity are refused later
            array = array.astype(np.float32, copy=False)
            try:
                array = conversion.convert(array)
            except ValueError:
                raise CheckpointError(
                    f"{conversion.variable}: got shape {list(array.shape)}, expected other "
                    "dimensions"
                ) from None
            tensors[name] = np.array(array, dtype=np.float32, order="C")
    return tensors
