"""`stylert features`: a feature network as ONNX, of the weights that other tools have fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylert.commands import console
from stylert.commands.options import AsJson, Force, in_output, in_panel
from stylert.commands.target_files import check_new
from stylert.runtime.packages import need

__all__ = ["features"]

in_weights = in_panel("Weights")


def features(
    kind: Annotated[
        str,
        typer.Argument(
            help="inception, inception-clean, vgg16-lpips, clip-image or efficientnet-lite0."
        ),
    ],
    *,
    weights: Annotated[
        Path | None,
        in_weights("File of torch.save; by default where torch.hub, packages and clip keep it."),
    ] = None,
    heads: Annotated[
        Path | None, in_weights("Of vgg16-lpips: LPIPS' own vgg.pth, of its package.")
    ] = None,
    out: Annotated[Path, in_output("File to write, .onnx.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a feature network for evaluate of published weights that you have.

    The files must be the published ones, by their SHA-256. Nothing in them is run; of TorchScript
    that of CLIP ViT-B/32 is read alone, as data. inception resizes as FID does, inception-clean as
    clean-fid.

    Example: stylert features efficientnet-lite0 --out lite0.onnx
    """
    need("onnx", "onnx_ir", extra="evaluate")
    from stylert.export.feature_networks import KINDS, make_feature_network
    from stylert.export.feature_networks.caches import find_published
    from stylert.export.feature_networks.making import PUBLISHED
    from stylert.runtime.arguments import check_choice

    check_choice("kind", kind, KINDS)
    published = PUBLISHED[kind]
    if heads is not None and len(published) == 1:
        raise typer.BadParameter(f"--heads: got one for {kind}, which has none")
    check_new(out, force=force)
    given = (weights, heads)[: len(published)]
    files = [
        find_published(one) if file is None else file
        for file, one in zip(given, published, strict=True)
    ]
    make_feature_network(kind, files, out)
    facts = {"file": str(out), "weights": [str(file) for file in files]}
    of = " and ".join(map(str, files))
    console.tell_result(facts, f"Wrote {out}, of {of}.", as_json=as_json)
