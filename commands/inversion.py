"""`stylert invert` and `encoder`: the styles of pictures that users bring, by an encoder."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from stylert.commands import console, options
from stylert.commands.export import need_export
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.picture import in_picture
from stylert.commands.target_files import check_channels, check_new, check_picture
from stylert.runtime.control.encoder_facts import EncoderFacts
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.pictures import list_pictures, read_picture, read_planes
from stylert.runtime.files.publishing import publish_file
from stylert.runtime.images import make_grid, save_image

__all__ = ["encoder", "invert"]

in_inversion = in_panel("Inversion")
Photos = typer.Argument(help="A picture, or a folder of pictures.", metavar="PHOTO")
EncoderFile = typer.Argument(
    help="A .pt file of pSp, e4e or ReStyle, or a .safetensors file of examples/train_encoder.",
    metavar="FILE",
)


def invert(
    bundle: BundleFolder,
    photos: Annotated[Path, Photos],
    *,
    passes: Annotated[
        int | None,
        in_inversion("Passes of an encoder that improves its own result (ReStyle).", min=1),
    ] = None,
    out: Annotated[Path, in_output("File of ws to write: .npz.")],
    preview: Annotated[
        Path | None, in_picture("Picture to write, too: photos above, what was found below.")
    ] = None,
    quality: options.PictureQuality = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Find the styles of pictures, in one pass of the bundle's encoder.

    The file is for generate --ws, edit --ws, mix and video; project --start makes it better.

    Example: stylert invert ffhq-bundle photo.jpg --out w.npz
    """
    if out.suffix != ".npz":
        raise InvalidInput(f"out: got {out}, expected a file that ends in .npz.")
    check_new(out, force=force)
    if preview is not None:
        check_picture(preview, quality=quality, force=force)
    files = list_pictures(photos)
    with where.open(bundle) as generator, console.show_progress() as progress:
        facts = generator.encoder
        if preview is not None:
            check_channels(preview, generator.spec.img_channels)
        parts = []
        for start in range(0, len(files), generator.max_batch):
            progress("inverting", start, len(files))
            some = files[start : start + generator.max_batch]
            parts.append(generator.invert([_read(file, facts) for file in some], passes=passes))
        progress("inverting", len(files), len(files))
        ws = np.concatenate(parts)
        if preview is not None:
            drawn = generator.synthesize(ws)
    with publish_file(out) as partial, partial.open("wb") as file:
        np.savez(file, w=ws, names=np.array([path.name for path in files]))
    if preview is not None:
        save_image(_show(files, drawn, facts), preview, quality=quality)
    result = {"backend": generator.choice, "file": str(out), "pictures": len(files)}
    console.tell_result(
        result,
        generator.choice,
        f"Wrote {out}: the ws of {len(files)} picture{'s' if len(files) > 1 else ''}.",
        f"Draw with: stylert generate {shlex.quote(str(bundle))} --ws {shlex.quote(str(out))} "
        "--out images",
        as_json=as_json,
    )


def encoder(
    bundle: BundleFolder,
    file: Annotated[Path, EncoderFile],
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Add an encoder to a bundle, and prove that it makes the codes that PyTorch makes.

    Example: stylert encoder ffhq-bundle ffhq-encoder.safetensors
    """
    need_export()
    from stylert.export.encoders.bundling import add_encoder
    from stylert.export.encoders.reader import read_encoder

    with console.err.status("reading the encoder"):
        found = read_encoder(file)
    for line in found.notes:
        console.note(line)
    with console.err.status("writing and checking encoder.onnx"):
        facts = add_encoder(bundle, found, force=force)
    size = (bundle / "encoder.onnx").stat().st_size
    difference = facts["parity"]["difference"]
    c = found.config
    console.tell_result(
        {"bundle": str(bundle), "encoder": {**facts, "start": None}},
        f"Added encoder.onnx ({size / 1e6:.1f} MB): {c.title}, for {c.height}x{c.width} pixels. "
        f"Its codes are within {difference:.0e} of PyTorch's.",
        f"Invert with: stylert invert {shlex.quote(str(bundle))} photo.jpg --out w.npz",
        as_json=as_json,
    )


def _read(file: Path, facts: EncoderFacts) -> np.ndarray:
    """A picture as the encoder takes it, of any size."""
    if facts.picture == "labels":
        return read_planes(file)
    return read_picture(file, channels=1 if facts.picture == "sketch" else 3)


def _show(files: list[Path], drawn: np.ndarray, facts: EncoderFacts) -> np.ndarray:
    """The photos in a row, at the size of what was found, and that below."""
    from stylert.runtime.files.pictures import resize_picture

    _, height, width, channels = drawn.shape
    if channels not in (1, 3):
        raise InvalidInput(f"preview: got pictures of {channels} channels, expected 1 or 3.")
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were told when the photos were inverted
        for file in files:
            if facts.picture == "labels":
                photo = (read_planes(file) * (255 // max(1, facts.channels - 1)))[:, :, None]
                photo = np.repeat(photo, channels, axis=2)
            else:
                photo = read_picture(file, channels=channels)
            shown.append(resize_picture(photo, height, width))
    return make_grid(np.concatenate([np.stack(shown), drawn]), columns=len(files), rows=2)
