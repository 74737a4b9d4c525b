"""`stylert features`: a feature network as ONNX, of the weights that other tools have fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylert.commands import console
from stylert.commands.idle import refuse_idle
from stylert.commands.options import AsJson, Force, in_output, in_panel
from stylert.commands.target_files import check_new
from stylert.runtime.packages import need

__all__ = ["features"]

in_weights = in_panel("Weights")


def features(
    kind: Annotated[
        str,
        typer.Argument(
            help="inception, inception-clean, vgg16-lpips, clip-image, efficientnet-lite0 or "
            "efficientnet-lite0-maps; or, with --gradient, a feature network (.onnx)."
        ),
    ],
    *,
    gradient: Annotated[
        bool, in_output("With the gradient of its distances, for project.", "--gradient")
    ] = False,
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
    """Make a feature network, for evaluate or project, of published weights that you have.

    The files must be the published ones, by their SHA-256. Nothing in them is run; of TorchScript
    that of CLIP ViT-B/32 is read alone, as data. inception resizes as FID does, inception-clean as
    clean-fid. vgg16-lpips and efficientnet-lite0-maps are for losses: project --features.

    Example: stylert features efficientnet-lite0 --out lite0.onnx
    """
    need("onnx", "onnx_ir", extra="evaluate")
    from stylert.export.adjoint.feature_loss import write_feature_loss
    from stylert.export.feature_networks import KINDS, make_feature_network
    from stylert.export.feature_networks.caches import find_published
    from stylert.export.feature_networks.making import PUBLISHED
    from stylert.runtime.arguments import check_choice

    if gradient and kind not in KINDS and Path(kind).suffix == ".onnx":
        refuse_idle(f"for {kind}, which has its weights", weights=weights, heads=heads)
        check_new(out, force=force)
        write_feature_loss(kind, out)
        console.tell_result({"files": [str(out)]}, f"Wrote {out}, of {kind}.", as_json=as_json)
        return
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
    if gradient:
        write_feature_loss(out, out)
    facts = {"files": [str(out)], "weights": [str(file) for file in files]}
    of = " and ".join(map(str, files))
    console.tell_result(facts, f"Wrote {out}, of {of}.", as_json=as_json)
