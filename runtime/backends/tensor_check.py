"""Whether a graph in ONNX Runtime has the tensors that the bundle's manifest names."""

from __future__ import annotations

from typing import Any

from stylert.runtime.bundle import MANIFEST, Bundle, GraphSpec
from stylert.runtime.errors import BundleError

__all__ = ["check_tensors"]

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def check_tensors(session: Any, spec: GraphSpec, bundle: Bundle) -> None:
    """Refuse a graph that takes or gives something else than the manifest says.

    Args:
        session: an `onnxruntime.InferenceSession` of the graph.
        spec: what the manifest says of it.
        bundle: the bundle, for the message.

    Raises:
        BundleError: a tensor is missing, or of another dtype or shape.
    """
    found = {t.name: t for t in (*session.get_inputs(), *session.get_outputs())}
    for t in (*spec.inputs, *spec.outputs):
        node = found.get(t.name)
        dtype, shape = (_DTYPES.get(node.type, node.type), node.shape) if node else ("nothing", [])
        fits = dtype == t.dtype and len(shape) == len(t.shape)
        if not fits or any(a != b for a, b in zip(shape, t.shape, strict=True) if type(b) is int):
            raise BundleError(
                f"Bundle {bundle.path}: {spec.file} has {t.name} as {dtype} {shape!r:.80}, but "
                f"{MANIFEST} says {t.dtype} {[*t.shape]}. Export the checkpoint again."
            )
