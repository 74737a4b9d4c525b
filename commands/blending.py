"""`stylert blend`: two checkpoints as one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from stylert.commands import console
from stylert.commands.export import ReadAs, need_export
from stylert.commands.idle import refuse_idle
from stylert.commands.options import AsJson, Force, in_checkpoint, in_output, in_panel
from stylert.commands.target_files import check_channels, check_new, check_picture
from stylert.commands.text.seeds import parse_seed_list
from stylert.runtime.images import save_image
from stylert.runtime.packages import need

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint

__all__ = ["blend"]

in_picture = in_panel("Picture")

First = typer.Argument(help="Checkpoint whose coarse layers are taken, for shapes.", metavar="A")
Second = typer.Argument(help="Checkpoint whose fine layers are taken, for colours.", metavar="B")


def blend(
    first: Annotated[str, First],
    second: Annotated[str, Second],
    *,
    out: Annotated[Path | None, in_output("Checkpoint to write: a .safetensors file.")] = None,
    level: Annotated[
        float | None,
        in_checkpoint("Pixels up to which layers are those of A: 4, 8, ...; 0: none, inf: all."),
    ] = None,
    width: Annotated[
        float | None, in_checkpoint("Layers that the change takes, about; by default it is sudden.")
    ] = None,
    mapping: Annotated[
        str | None, in_checkpoint("Whose mapping network is taken: A, the default, or B.")
    ] = None,
    sheet: Annotated[
        Path | None, in_output("Picture of all levels side by side, from B on the left to A.")
    ] = None,
    seeds: Annotated[
        Any, in_picture("Seeds of the sheet's rows; 0-3 by default.", read=parse_seed_list)
    ] = None,
    truncation_psi: Annotated[
        float | None, in_picture("Truncation of the sheet; 0.7 by default.")
    ] = None,
    read_as: ReadAs,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Blend two checkpoints of one family: coarse layers of A, fine layers of B.

    B was trained on from A, or both from one. The result is a checkpoint as any other.

    Example: stylert blend ffhq.pkl ffhq.pkl --level 16 --out blend.safetensors
    """
    if out is None and sheet is None:
        raise typer.BadParameter("pass --out FILE with --level, or --sheet FILE, or both")
    if (out is None) != (level is None):
        raise typer.BadParameter("--out and --level go together")
    if out is not None and out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out}: the file's name must end in .safetensors")
    if sheet is None:
        without = "without --sheet, which it belongs to"
        refuse_idle(without, seeds=seeds, truncation_psi=truncation_psi)
    need_export()
    need("safetensors", extra="export")
    from stylert.export.blending import blend_checkpoints
    from stylert.export.checkpoints import write_native

    if out is not None:
        check_new(out, force=force)
    if sheet is not None:
        check_picture(sheet, force=force)
    parents = read_as.read(first), read_as.read(second)
    if sheet is not None:
        check_channels(sheet, parents[0].config.img_channels)
    options: dict[str, Any] = {"width": width, "mapping": mapping}
    lines = []
    if out is not None and level is not None:
        write_native(blend_checkpoints(*parents, level=level, **options), out, overwrite=force)
        lines += [f"Wrote {out} ({decimal(out.stat().st_size)})."]
        lines += [f"Export it with: stylert export {shlex.quote(str(out))} --out blend-bundle"]
    if sheet is not None:
        psi = 0.7 if truncation_psi is None else truncation_psi
        lines += [_draw_sheet(parents, sheet, seeds or range(4), psi, options)]
    files = [str(file) for file in (out, sheet) if file is not None]
    console.tell_result({"files": files}, *lines, as_json=as_json)


def _draw_sheet(
    parents: tuple[Checkpoint, Checkpoint],
    sheet: Path,
    seeds: Sequence[int],
    truncation_psi: float,
    options: dict[str, Any],
) -> str:
    """Draw it, and say what was drawn."""
    from stylert.export.blending import list_levels
    from stylert.export.blending_sheet import draw_levels

    with console.show_progress() as progress:
        picture = draw_levels(
            *parents,
            seeds,
            truncation_psi=truncation_psi,
            progress=lambda done, total: progress("drawing the levels", done, total),
            **options,
        )
    save_image(picture, sheet)
    levels = ", ".join(f"{level:g}" for level in list_levels(parents[0].config))
    return f"Wrote {sheet}: a row for each seed, levels {levels} from left to right."
