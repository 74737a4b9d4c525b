"""Whether an opened graph has, and gives, the tensors that the bundle's manifest names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from stylert.runtime.bundle import MANIFEST, Bundle, GraphSpec, TensorSpec
from stylert.runtime.errors import BundleError, EngineError

__all__ = ["check_results", "check_tensors"]

Found = Mapping[str, tuple[str, list[int | str]]]  # dtype and shape by name


def check_tensors(found: Found, spec: GraphSpec, bundle: Bundle) -> None:
    """Refuse a graph that takes or gives something else than the manifest says.

    Args:
        found: dtype and shape of its inputs and outputs; a text is a dimension that may vary.
        spec: what the manifest says of it.
        bundle: the bundle, for the message.

    Raises:
        BundleError: a tensor is missing, or of another dtype or shape.
    """
    for t in (*spec.inputs, *spec.outputs):
        dtype, shape = found.get(t.name, ("nothing", []))
        fits = dtype == t.dtype and len(shape) == len(t.shape)
        if not fits or any(a != b for a, b in zip(shape, t.shape, strict=True) if type(b) is int):
            raise BundleError(
                f"Bundle {bundle.path}: {spec.file} has {t.name} as {dtype} {shape!r:.80}, but "
                f"{MANIFEST} says {t.dtype} {[*t.shape]}. Export the checkpoint again."
            )


def check_results(
    results: Iterable[np.ndarray], outputs: Iterable[TensorSpec], *, count: int
) -> None:
    """Refuse what a graph gave if it is of another shape than its file and the manifest say.

    ONNX Runtime does not: what a file says of its outputs is no more than a hint to it.

    Args:
        results: the arrays.
        outputs: what the manifest says of each.
        count: images of the call.

    Raises:
        EngineError: an array is of another shape.
    """
    for array, t in zip(results, outputs, strict=True):
        if array.shape != (expected := (count, *t.shape[1:])):
            raise EngineError(
                f"{t.name}: the graph gave the shape {array.shape}, expected {expected}. Export "
                "the checkpoint again."
            )
