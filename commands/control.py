"""`stylert mix` and `edit`: grids of mixed styles, and strips along a direction."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stylert.commands import console, options
from stylert.commands.figures import draw_mix, draw_strip, move_styles
from stylert.commands.idle import refuse_idle
from stylert.commands.latents import find_ws, read_direction
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output
from stylert.commands.picture import Picture, in_picture
from stylert.commands.target_files import check_channels, check_picture, check_styles
from stylert.commands.text.numbers import parse_strengths
from stylert.commands.text.seeds import Source, parse_classes, parse_seed_list, parse_source
from stylert.commands.text.styles import parse_direction
from stylert.commands.wording import renamed
from stylert.commands.words import TextEdit
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.layers import find_layers
from stylert.runtime.control.style_space import read_style_space
from stylert.runtime.drawing_options import StyleOptions
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.runtime.images import save_image

__all__ = ["edit", "mix"]

PICTURE = in_output("Picture to write: .png, .jpg, .webp, .tiff or .npy.")
Layers = Annotated[str, in_picture("Layers: coarse, middle, fine, all, or a list such as 0-6,8.")]


def mix(
    bundle: BundleFolder,
    *,
    rows: Annotated[
        Any,
        in_picture(
            "Seeds of the rows, a file of ws, or a picture for the encoder.", read=parse_source
        ),
    ],
    columns: Annotated[Any, in_picture("The same of the columns.", read=parse_source)],
    layers: Layers,
    picture: Picture,
    column_class_idx: Annotated[
        Any,
        in_picture("Class of the columns, if it differs.", "--column-class", read=parse_classes),
    ] = None,
    framed: Annotated[bool, in_picture("Show the sources at the left and the top, too.")] = True,
    out: Annotated[Path, PICTURE],
    quality: options.PictureQuality = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Draw a grid of pictures, every row with some layers of every column: style mixing.

    Several classes are those of the rows, one by one, and of the columns.

    Example: stylert mix ffhq-bundle --rows 0-3 --columns 10-15 --layers coarse --out mix.png
    """
    check_picture(out, quality=quality, force=force)
    of_rows = of_columns = picture.to_style_options(rows, columns)
    if column_class_idx is not None:
        if isinstance(columns, Path):
            raise InvalidInput("column_class_idx: got one for ws of a file, expected seeds")
        of_columns = {**of_rows, "class_idx": column_class_idx, "labels": None}
    with where.open(bundle) as generator, console.show_progress() as progress:
        check_channels(out, generator.spec.img_channels)
        find_layers(layers, generator.layer_groups)  # refused before styles are made
        figure = draw_mix(
            generator,
            _make_styles(generator, rows, of_rows),
            _make_styles(generator, columns, of_columns),
            layers=layers,
            framed=framed,
            progress=partial(progress, "drawing"),
            **picture.to_image_options(),
        )
    save_image(figure, out, quality=quality)
    _tell(generator, figure, out, as_json=as_json)


def edit(
    bundle: BundleFolder,
    *,
    seeds: Annotated[
        Any, in_picture("Seeds to edit, a row for each.", "--seed", "--seeds", read=parse_seed_list)
    ] = None,
    ws: Annotated[Path | None, in_picture("File of ws, or a picture for the encoder.")] = None,
    direction: Annotated[
        Any,
        in_picture(
            "Direction: a name that --list-directions shows, a .npy, .npz or .pt file, pca:0 for "
            "the first principal component, or channels: b32.conv1:45=2,b8.conv0:7=-1.",
            read=parse_direction,
        ),
    ] = None,
    strengths: Annotated[
        Any,
        in_picture(
            "Strengths: FIRST:LAST:COUNT or a list; write --strengths=-6:6:5.", read=parse_strengths
        ),
    ] = "-6:6:5",
    layers: Layers = "all",
    list_directions: Annotated[
        bool, in_picture("Show the directions and layers in the bundle.", "--list-directions")
    ] = False,
    words: TextEdit,
    picture: Picture,
    out: Annotated[Path | None, PICTURE] = None,
    save_ws: Annotated[
        Path | None, in_output("File of ws to write, too: .npz; those of each row, weak to strong.")
    ] = None,
    quality: options.PictureQuality = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Draw a strip of pictures along a direction in w, or by words, weak to strong.

    Example: stylert edit ffhq-bundle --seed 7 --direction sefa_coarse_0 --out strip.png
    """
    from stylert.apps.projection.result_file import write_result

    if list_directions:
        return _list_directions(bundle, as_json=as_json)
    if (seeds is None) == (ws is None):
        raise typer.BadParameter("pass --seed N or --ws FILE, one of them")
    words.check(direction)
    if out is None:
        raise typer.BadParameter("pass --out FILE, too")
    check_picture(out, quality=quality, force=force)
    if save_ws is not None:
        check_styles("save_ws", save_ws, force=force)
        if direction is None or isinstance(direction, dict):
            refuse_idle("with channels or a text, which move no w", save_ws=save_ws)
    styles = picture.to_style_options(ws or seeds)
    with where.open(bundle) as generator, console.show_progress() as progress:
        check_channels(out, generator.spec.img_channels)
        way: Any = None
        if direction is not None:
            way = _find_direction(generator, direction, layers, styles)
        found = _make_styles(generator, ws or seeds, styles)
        if words.text is not None:
            way = words.find_channels(generator, found, where.threads, progress)
        figure = draw_strip(
            generator,
            found,
            way,
            strengths,
            layers=layers,
            progress=partial(progress, "drawing"),
            **picture.to_image_options(),
        )
        save_image(figure, out, quality=quality)
        if save_ws is not None:
            write_result(save_ws, move_styles(generator, found, way, strengths, layers=layers))
    written = [out] if save_ws is None else [out, save_ws]
    return _tell(generator, figure, *written, as_json=as_json)


def _list_directions(path: Path, *, as_json: bool) -> None:
    """Show the directions of a bundle: the sets, and the names in them."""
    bundle = Bundle.open(path)
    sets = bundle.read_directions()
    if as_json:
        return console.print_json({name: s.layers.tolist() for s in sets for name in s.names})
    if not sets:
        return console.say(f"{path} has no directions. Export again, or use pca:0 or a file.")
    console.print_table([s.row() for s in sets], title=str(path))
    if space := read_style_space(bundle):
        rows = [
            {
                "channels": f"{layer.name}:0 to {layer.name}:{layer.count - 1}",
                "row of ws": str(layer.row),
                "colours": "yes" if layer.is_rgb else "",
            }
            for layer in space.layers
        ]
        console.print_table(rows, title="style space")
    return console.say("And pca:0, pca:1, ...: what varies most in w. Or a .npy, .npz or .pt file.")


def _find_direction(
    generator: Generator,
    direction: int | Path | str | dict[str, float],
    layers: str,
    options: StyleOptions,
) -> np.ndarray | str | dict[str, float]:
    """A principal component, a direction of a file, the name of one in the bundle, or channels.

    They are tried before styles are made: what is refused comes first, not after a warning that no
    class was chosen.
    """
    if isinstance(direction, dict):
        with renamed(channels="direction"):
            generator.make_style_offset(direction)
        return direction
    s = generator.spec
    way = read_direction(direction, s) if isinstance(direction, Path) else direction
    tried = np.zeros(s.w_dim, np.float32) if isinstance(way, int) else way
    generator.edit(np.zeros((1, s.num_ws, s.w_dim), np.float32), tried, 0, layers=layers)
    return way if not isinstance(way, int) else _find_component(generator, way, options)


def _find_component(generator: Generator, component: int, options: StyleOptions) -> np.ndarray:
    """A principal component, of a class if one was chosen: [w_dim] float32."""
    last = generator.spec.w_dim - 1
    if component > last:
        raise InvalidInput(f"direction: got 'pca:{component}', expected pca:0 to pca:{last}")
    class_idx: Any = options.get("class_idx")
    components = generator.pca(k=component + 1, class_idx=class_idx, labels=options.get("labels"))
    return components.direction(component)


def _make_styles(generator: Generator, source: Source, options: StyleOptions) -> np.ndarray:
    """The ws of seeds, of a file, or of a picture: [N, num_ws, w_dim] float32."""
    if isinstance(source, Path):
        return find_ws(source, generator)
    return generator.styles(source, **options)


def _tell(
    generator: Generator, figure: np.ndarray, path: Path, *others: Path, as_json: bool
) -> None:
    height, width = figure.shape[:2]
    files = [str(path), *map(str, others)]
    facts = {"backend": generator.choice, "files": files, "width": width, "height": height}
    done = [f"Wrote {path}: {width}x{height} pixels.", *(f"Wrote {other}." for other in others)]
    console.tell_result(facts, generator.choice, *done, as_json=as_json)
