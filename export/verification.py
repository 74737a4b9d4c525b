"""What `verify` checks besides the pictures: valid graphs, and where the bundle came from."""

from __future__ import annotations

import onnx

from stylert.export.checkpoints import Checkpoint
from stylert.runtime.bundle import MANIFEST, Bundle
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
        BundleError: they differ in their architecture, or the bundle does not say where it is from.
    """
    try:
        config = dict(bundle.manifest["config"])
        source = bundle.manifest["provenance"]["source"]
        file, sha256, network = source["file"], source["sha256"], source["network"]
    except (KeyError, TypeError, ValueError):
        raise BundleError(
            f"Bundle {bundle.path}: {MANIFEST} does not say what it was made of. "
            "Export the checkpoint again."
        ) from None
    for key, value in checkpoint.config.to_json().items():
        if config.get(key) != value:
            raise BundleError(
                f"Bundle {bundle.path} has {key} {config.get(key)}, but {checkpoint.source.file} "
                f"has {value}: it is the bundle of another checkpoint."
            )
    if sha256 != checkpoint.source.sha256:
        return [f"{checkpoint.source.file} is not the file that was exported ({file})"]
    if network != checkpoint.source.network:
        return [f"the bundle holds the network {network}, not {checkpoint.source.network}"]
    return []
