"""`stylert gradient`: what a bundle needs so that pictures can be projected."""

from __future__ import annotations

import shlex

from rich.filesize import decimal

from stylert.commands import console
from stylert.commands.options import AsJson, BundleFolder, Force
from stylert.runtime.packages import need

__all__ = ["gradient"]


def gradient(bundle: BundleFolder, *, force: Force = False, as_json: AsJson = False) -> None:
    """Add the graph of gradients to a bundle, which `project` and `inpaint` need.

    Example: stylert gradient ffhq-bundle
    """
    need("onnx", extra="gradient")
    from stylert.export.adjoint.bundle_gradient import add_gradient

    file = add_gradient(bundle, force=force)
    console.tell_result(
        {"files": [str(file)]},
        f"Wrote {file} ({decimal(file.stat().st_size)}).",
        f"Project with: stylert project {shlex.quote(str(bundle))} photo.png --out w.npz",
        as_json=as_json,
    )
