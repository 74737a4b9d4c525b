"""Whether an opened graph has the tensors that the bundle's manifest names."""

from __future__ import annotations

from collections.abc import Mapping

from stylert.runtime.bundle import MANIFEST, Bundle, GraphSpec
from stylert.runtime.errors import BundleError

__all__ = ["check_tensors"]

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
