"""`stylert video`: a film that walks from keyframe to keyframe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylert.apps.video.walks import (
    choose_walk_batch,
    count_frames_between,
    count_walk_frames,
    draw_walks,
)
from stylert.commands import console
from stylert.commands.idle import refuse_idle
from stylert.commands.latents import read_keyframes
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.picture import Picture, in_picture
from stylert.commands.text.numbers import parse_cells
from stylert.commands.text.seeds import parse_seed_list
from stylert.commands.text.styles import parse_motion, parse_psi_ramp, parse_turn
from stylert.commands.wording import renamed

if TYPE_CHECKING:
    from stylert.apps.video import WrittenVideo

__all__ = ["video"]

in_walk = in_panel("Walk")


@dataclass(frozen=True, kw_only=True)
class MovingPicture(Picture):
    """How frames are drawn; some of it may change from the first to the last."""

    truncation_psi: Annotated[
        Any,
        in_picture(
            "Truncation: 0.7, or 0:1 from the first frame to the last, or coarse=0.5,fine=1.",
            read=parse_psi_ramp,
        ),
    ] = None
    noise_mode: Annotated[
        str, in_picture("Noise: const (the network's own), none, seeded, or animated.", "--noise")
    ] = "const"
    noise_turns: Annotated[
        float | None,
        in_picture(
            "How often animated noise goes around, once by default; a loop needs whole turns."
        ),
    ] = None
    translate: Annotated[
        Any,
        in_picture("Move by X,Y sides, or 0,0:0.2,0 from to; StyleGAN3 only.", read=parse_motion),
    ] = None
    rotate: Annotated[
        Any, in_picture("Turn by degrees, or 0:360 from to; StyleGAN3 only.", read=parse_turn)
    ] = None


def video(
    bundle: BundleFolder,
    *,
    seeds: Annotated[Any, in_walk("Seeds of the keyframes.", read=parse_seed_list)] = None,
    ws: Annotated[
        list[Path] | None,
        in_walk("File of ws as keyframes: .npy, .npz or .pt; give it again to go on to others."),
    ] = None,
    curve: Annotated[
        str, in_walk("Curve: cubic (smooth) or linear through w, or slerp through z.")
    ] = "cubic",
    seconds: Annotated[float, in_walk("Time from one keyframe to the next, in seconds.")] = 2.0,
    fps: Annotated[float, in_walk("Frames a second.")] = 30.0,
    loop: Annotated[bool, in_walk("Go back to the first keyframe.")] = False,
    grid: Annotated[
        Any,
        in_walk("Walks side by side, COLSxROWS, with keyframes of their own.", read=parse_cells),
    ] = "1x1",
    picture: MovingPicture,
    out: Annotated[
        Path, in_output("Video to write: .mp4, .mov, .mkv, .webm, .gif, .webp, or a folder of PNG.")
    ],
    crf: Annotated[
        int | None, in_output("Loss of a video: 0 (none) to 51; 18 by default, .webm 24.", min=0)
    ] = None,
    quality: Annotated[
        int | None, in_output("Quality of .webp, 1 to 100; 90 by default.", min=1, max=100)
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Draw a video that walks from keyframe to keyframe.

    What changes from A to B does so over the whole video; on a loop, there and back again. Several
    classes are those of the walks of a grid, or of the keyframes.

    Example: stylert video ffhq-bundle --seeds 1,2,3 --seconds 2 --loop --out walk.mp4
    """
    from stylert.apps.video import VideoFile

    if picture.noise_mode != "animated":
        refuse_idle(
            "without --noise animated, which it belongs to", noise_turns=picture.noise_turns
        )
    if (seeds is None) == (ws is None):
        raise typer.BadParameter("pass --seeds LIST or --ws FILE, one of them")
    file = VideoFile(out, fps=fps, crf=crf, quality=quality, repeat=loop, force=force)
    frames = count_frames_between(seconds, fps)
    columns, rows = grid
    with where.open(
        bundle, max_batch=choose_walk_batch(where.max_batch, columns * rows)
    ) as generator:
        keyframes = read_keyframes(ws, generator.spec) if ws else seeds
        way: dict[str, Any] = {"frames": frames, "curve": curve, "loop": loop}
        way |= {"columns": columns, "rows": rows, **picture.to_options()}
        with renamed(keyframes="ws" if ws else "seeds", frames="seconds, fps"):
            total = count_walk_frames(len(keyframes), frames, walks=columns * rows, loop=loop)
            walks = draw_walks(generator, keyframes, **way)
        with console.show_image_progress() as progress:
            written = file.write(walks, total=total, progress=progress)
    about = {name: value for name, value in vars(written).items() if name != "path"}
    facts = {"backend": generator.choice, "files": [str(written.path)], **about}
    done = f"Wrote {written.path}: {_tell_size(written)}, {written.seconds:.1f} s, {written.codec}."
    console.tell_result(facts, generator.choice, done, as_json=as_json)


def _tell_size(written: WrittenVideo) -> str:
    """How many frames of what size the file holds."""
    size = (
        f"{written.frames} frame{'s' * (written.frames != 1)} of {written.width}x{written.height}"
    )
    if written.frames == written.drawn:
        return size
    return f"{size} ({written.drawn} drawn: of equal ones in a row, the file has one)"
