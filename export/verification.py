"""What `verify` checks besides the pictures: the graphs' validity and where the bundle came from."""

from __future__ import annotations

import onnx

from stylert.export.checkpoints import Checkpoint
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError

__all__ = ["check_graphs", "check_provenance"]


def check_graphs(bundle: Bundle) -> None:
    """Run onnx.checker on both graphs, shapes and types included.

    Raises:
        BundleError: a graph is not valid ONNX.
    """
    for name in bundle.graphs:
        try:
            onnx.checker.check_model(str(bundle.file(name)), full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            message = " ".join(str(error).split())
            raise BundleError(f"Bundle {bundle.path}: {name}: {message}") from None


def check_provenance(bundle: Bundle, checkpoint: Checkpoint) -> list[str]:
    """Compare a bundle with the checkpoint that it is said to come from.

    Returns:
        What a user should know, e.g. that the checkpoint is another file than the bundle's.

    Raises:
        BundleError: they differ in their architecture.
    """
    config = checkpoint.config.to_json()
    for key, value in config.items():
        recorded = bundle.manifest.get("config", {}).get(key)
        if recorded != value:
            raise BundleError(
                f"Bundle {bundle.path} has {key} {recorded}, but {checkpoint.source.file} has "
                f"{value}: it is the bundle of another checkpoint."
            )
    source = bundle.manifest["provenance"]["source"]
    if source["sha256"] != checkpoint.source.sha256:
        return [f"{checkpoint.source.file} is not the file that was exported ({source['file']})"]
    return []
