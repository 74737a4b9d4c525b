"""`stylert one-file`: a bundle as one ONNX file, for tools that evaluate generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.filesize import decimal

from stylert.commands import console
from stylert.commands.options import BundleFolder, Force, in_output, in_panel
from stylert.runtime.packages import need

__all__ = ["one_file"]

in_picture = in_panel("Picture")


def one_file(
    bundle: BundleFolder,
    *,
    out: Annotated[Path, in_output("File to write: .onnx.")],
    truncation_psi: Annotated[
        float | None, in_picture("Truncation of all pictures; the network's own by default.")
    ] = None,
    noise_mode: Annotated[
        str, in_picture("Noise of all pictures: const (the network's own), or none.", "--noise")
    ] = "const",
    force: Force = False,
) -> None:
    """Write a bundle as one graph from z, and labels, to pictures of uint8 [N, C, H, W].

    It is what torch-fidelity reads. Truncation and noise are constants of the file.

    Example: stylert one-file ffhq-bundle --out ffhq.onnx
    """
    need("onnx", extra="export")
    from stylert.export.one_file import write_one_file

    write_one_file(bundle, out, truncation_psi=truncation_psi, noise_mode=noise_mode, force=force)
    console.say(f"Wrote {out} ({decimal(out.stat().st_size)}).")
