"""`project --features`: a file with a gradient, or a feature network whose gradient is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylert.commands import console
from stylert.runtime.files.listed import hash_file
from stylert.runtime.files.user_folders import find_cache_folder
from stylert.runtime.packages import need

if TYPE_CHECKING:
    from stylert.apps.projection import FeatureLoss

__all__ = ["open_feature_loss"]

FOLDER = "feature-losses-1"  # in the cache; another number for another form of the files


def open_feature_loss(file: Path, *, threads: int | None) -> FeatureLoss:
    """Open a loss; that of a feature network is made once for this user, which takes onnx.

    Args:
        file: of either.
        threads: CPU threads of a call, None = all.

    Raises:
        InvalidInput: no such file, or an operator of the network has no adjoint.
        MissingExtra: ONNX Runtime is not installed, or onnx where the gradient is made.
    """
    from stylert.apps.projection import FeatureLoss

    if FeatureLoss.is_one(file):
        return FeatureLoss.open(file, threads=threads)
    made = find_cache_folder() / FOLDER / f"{hash_file(file)}.onnx"
    if not made.exists():
        need("onnx", extra="gradient")
        from stylert.export.adjoint.feature_loss import write_feature_loss

        made.parent.mkdir(parents=True, exist_ok=True)
        write_feature_loss(file, made)
        console.note(f"made the gradient of {file}, once: {made}")
    return FeatureLoss.open(made, threads=threads)
