"""`stylert invert` and `encoder`: the styles of pictures that users bring, by an encoder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from stylert.commands import console, options
from stylert.commands.export import need_export
from stylert.commands.faces import Faces
from stylert.commands.idle import refuse_idle
from stylert.commands.latents import read_photo
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.picture import in_picture
from stylert.commands.target_files import check_channels, check_picture, check_styles
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.control.encoder_facts import EncoderFacts
from stylert.runtime.files.pictures import (
    list_pictures,
    make_grey,
    resize_picture,
)
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
    faces: Faces,
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
    check_styles("out", out, force=force)
    if preview is None:
        refuse_idle("without --preview, which it belongs to", quality=quality)
    else:
        check_picture(preview, quality=quality, force=force)
    files = list_pictures(photos)
    crop = faces.choose_crop(files, threads=where.threads)
    with where.open(bundle) as generator, console.show_progress() as progress:
        facts = generator.encoder
        if preview is not None:
            check_channels(preview, generator.spec.img_channels)
        parts, shown = [], []
        for start in range(0, len(files), generator.max_batch):
            progress("inverting", start, len(files))
            some = files[start : start + generator.max_batch]
            images = [crop(read_photo(file, facts), file, generator.spec) for file in some]
            parts.append(generator.invert(images, passes=passes))
            if preview is not None:
                shown += [_show(image, generator.spec, facts) for image in images]
        progress("inverting", len(files), len(files))
        ws = np.concatenate(parts)
        if preview is not None:
            shown += list(generator.synthesize(ws))
    with publish_file(out) as partial, partial.open("wb") as file:
        np.savez(file, w=ws, names=np.array([path.name for path in files]))
    if preview is not None:
        save_image(make_grid(np.stack(shown), len(files), 2), preview, quality=quality)
    written = [str(file) for file in (out, preview) if file is not None]
    result = {"backend": generator.choice, "files": written, "pictures": len(files)}
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
    from stylert.export.encoders.half import tell_half_encoder
    from stylert.export.encoders.reader import read_encoder

    with console.err.status("reading the encoder"):
        found = read_encoder(file)
    for line in found.notes:
        console.note(line)
    with console.err.status("writing and checking encoder.onnx"):
        facts = add_encoder(bundle, found, force=force)
    if told := tell_half_encoder(facts.get("half")):
        console.note(told)
    size = (bundle / "encoder.onnx").stat().st_size
    difference = facts["parity"]["difference"]
    c = found.config
    console.tell_result(
        {"files": [str(bundle / "encoder.onnx")], "encoder": {**facts, "start": None}},
        f"Added encoder.onnx ({size / 1e6:.1f} MB): {c.title}, for {c.height}x{c.width} pixels. "
        f"Its codes are within {difference:.0e} of PyTorch's.",
        f"Invert with: stylert invert {shlex.quote(str(bundle))} photo.jpg --out w.npz",
        as_json=as_json,
    )


def _show(image: np.ndarray, spec: GeneratorSpec, facts: EncoderFacts) -> np.ndarray:
    """A photo, or a label map, as large as what is found of it, in as many channels."""
    if facts.picture == "labels":
        image = (image * (255 // max(1, facts.channels - 1)))[:, :, None]
    image = make_grey(image) if spec.img_channels < 3 else _make_rgb(image)
    opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
    whole = image if spec.img_channels in (1, 3) else np.concatenate([image, opaque], axis=2)
    return resize_picture(whole, spec.img_height, spec.img_width)


def _make_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
