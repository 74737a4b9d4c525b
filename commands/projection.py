"""`stylert project` and `inpaint`: from photos to styles, and what fits into a hole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from stylert.commands import console
from stylert.commands.faces import Faces
from stylert.commands.feature_losses import open_feature_loss
from stylert.commands.idle import refuse_idle
from stylert.commands.latents import read_ws
from stylert.commands.options import AsJson, BundleFolder, Force, WhereHere, in_output, in_panel
from stylert.commands.target_files import check_picture, check_styles
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.pictures import list_pictures, read_picture
from stylert.runtime.images import save_image, to_uint8

if TYPE_CHECKING:
    from stylert.apps.projection import ProjectionSettings, ProjectionStep
    from stylert.runtime.generator import Generator

__all__ = ["inpaint", "project"]

in_search = in_panel("Search")
STEPS_A_PICTURE = 10  # of --pictures

Photos = typer.Argument(help="Photos, or a folder of them.", metavar="PHOTO...")


@dataclass(frozen=True, kw_only=True)
class Search:
    """How styles are looked for."""

    steps: Annotated[int, in_search("How many steps to take.", min=1)] = 100
    space: Annotated[
        str | None, in_search("One w for all layers (w), or one for each (w+), the default.")
    ] = None
    seeds_start: Annotated[
        int | None,
        in_search("Samples to start at the best of; 600 by default, of large pictures 100.", min=0),
    ] = None
    start: Annotated[
        Path | None, in_search("File of ws to start from: .npz, .npy or .pt, of an encoder too.")
    ] = None
    features: Annotated[
        Path | None,
        in_search("Feature network (ONNX) whose distance is part of the loss; or its gradient."),
    ] = None
    features_weight: Annotated[
        float | None,
        in_search("Weight of that distance, beside the pixels'; 0.1 by default.", min=0),
    ] = None
    optimizer: Annotated[
        str, in_search("Optimizer: lbfgs, adam, or auto: L-BFGS, but Adam where noise is found.")
    ] = "auto"
    rate: Annotated[
        float | None, in_search("Learning rate of Adam, at its highest; 0.1 by default.")
    ] = None
    spread: Annotated[
        float | None,
        in_search("How much w+ is held together; more = better to edit; 1e-4 by default.", min=0),
    ] = None
    noise: Annotated[bool, in_search("Find the layers' noise, too.", "--find-noise")] = False
    seed: Annotated[int, in_search("Seed of the search.", min=0)] = 0
    method: Annotated[
        str,
        in_search(
            "Method: gradient, cma (CMA-ES, without gradients), or auto: as the backend can."
        ),
    ] = "auto"

    def check(self) -> None:
        """Refuse what would change nothing."""
        if self.start is not None:
            refuse_idle("with --start, which says where to start", seeds_start=self.seeds_start)
        if self.features is None:
            without = "without --features, which it belongs to"
            refuse_idle(without, features_weight=self.features_weight)

    def to_settings(self) -> ProjectionSettings:
        """Those of a projection by gradients.

        Raises:
            InvalidInput: one is out of range, or would change nothing.
        """
        from stylert.apps.projection import ProjectionSettings

        if self.space == "w":
            refuse_idle("with --space w, which has no layers to hold together", spread=self.spread)
        if self.optimizer == "lbfgs" or (self.optimizer == "auto" and not self.noise):
            refuse_idle("with L-BFGS, which has none. Pass --optimizer adam", rate=self.rate)
        given = {
            "space": self.space,
            "rate": self.rate,
            "features": self.features_weight,
            "spread": self.spread,
        }
        return ProjectionSettings(
            steps=self.steps,
            optimizer=self.optimizer,
            noise=self.noise,
            seed=self.seed,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )

    def check_without_gradient(self) -> None:
        """Refuse what a search without gradients has not."""
        refuse_idle(
            "with CMA-ES, which has no gradients, and looks for one w for all layers",
            features=self.features,
            space=None if self.space == "w" else self.space,
            optimizer=None if self.optimizer == "auto" else self.optimizer,
            rate=self.rate,
            spread=self.spread,
            noise=self.noise or None,
        )


def project(
    bundle: BundleFolder,
    photos: Annotated[list[Path], Photos],
    *,
    out: Annotated[Path, in_output("File of ws to write: .npz.")],
    search: Search,
    faces: Faces,
    pictures: Annotated[
        Path | None, in_output("Folder for a picture of every tenth step: photo, and found.")
    ] = None,
    film: Annotated[Path | None, in_output("Video of the way: .mp4, .webm, .gif or .webp.")] = None,
    resume: Annotated[bool, in_output("Go on where --out was interrupted.", "--resume")] = False,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Find the styles that draw photos; generate --ws, edit, mix and video take them.

    Example: stylert project ffhq-bundle me.png --out me.npz
    """
    from stylert.apps.projection import read_photos

    search.check()
    if resume and not out.exists():
        raise InvalidInput(f"resume: got one, expected {out} to be there")
    check_styles("out", out, force=force or resume)
    if pictures is not None and pictures.exists() and not pictures.is_dir():
        raise InvalidInput(f"{pictures} is a file, expected the name of a folder.")
    files = [file for photo in photos for file in list_pictures(photo)]
    crop = faces.choose_crop(files, threads=where.threads)
    with where.open(bundle) as generator:
        images = read_photos(
            files, generator.spec, crop=lambda image, file: crop(image, file, generator.spec)
        )
        start = None if search.start is None else read_ws(search.start, generator.spec)
        if start is not None and len(start) != len(images):
            raise InvalidInput(
                f"start: got {len(start)} ws, expected one for each of {len(images)} photos"
            )
        way = _Way(generator, images, start, search, out, resume, where.threads)
        last = way.walk(_show(pictures, images), _open_film(film, force))
        facts = {
            "files": [str(file) for file in (out, film) if file is not None],
            "photos": [str(file) for file in files],
            "psnr": [round(float(p), 2) for p in last.best_psnr],
            "distance": None if last.distance is None else [float(d) for d in last.distance],
            "steps": last.number,
            "backend": generator.choice,
        }
    decibels = ", ".join(f"{p:.1f}" for p in last.best_psnr[:8])
    done = f"Wrote {out}: {len(files)} w, {decibels} dB from the photos."
    console.tell_result(facts, generator.choice, done, as_json=as_json)


class _Way:
    """One projection of the command: gradients or not, and what is left when it is interrupted."""

    def __init__(
        self,
        generator: Generator,
        images: np.ndarray,
        start: np.ndarray | None,
        search: Search,
        out: Path,
        resume: bool,
        threads: int | None,
    ) -> None:
        self._generator = generator
        self._images = images
        self._start = start
        self._search = search
        self._out = out
        self._projector: Any = None
        self._loss = None
        if search.features is not None:
            self._loss = open_feature_loss(search.features, threads=threads)
        self._steps = self._choose_steps(resume)

    def walk(self, show: Any, film: Any) -> ProjectionStep:
        """Take all steps, and write what was found; also what was found until Ctrl-C."""
        from stylert.apps.projection.result_file import write_result

        last: ProjectionStep | None = None
        try:
            with console.show_progress() as progress:

                def frames() -> Iterator[np.ndarray]:
                    nonlocal last
                    for step in self._steps:
                        last = step
                        progress("projecting", step.number, step.steps)
                        show(step)
                        yield np.concatenate(list(to_uint8(step.img)), axis=1)

                film(frames(), self._search.steps)
        except KeyboardInterrupt:
            if last is not None:
                state = None if self._projector is None else self._projector.save_state()
                write_result(self._out, last.best_ws, noise=last.best_noise, state=state)
                on = ", go on with --resume" if state is not None else ""
                console.note(f"the best w of {last.number} steps are in {self._out}{on}")
            raise
        assert last is not None
        write_result(self._out, last.best_ws, noise=last.best_noise)
        return last

    def _choose_steps(self, resume: bool) -> Iterator[ProjectionStep]:
        from stylert.runtime.arguments import check_choice

        s = self._search
        check_choice("method", s.method, ("auto", "gradient", "cma"))
        engine = self._generator.describe()["backend"] == "tensorrt"
        if s.method == "cma" or (s.method == "auto" and engine):
            from stylert.apps.projection.gradient_free import project_without_gradient

            s.check_without_gradient()
            if resume:
                raise InvalidInput("resume: a search without gradients cannot go on, start anew")
            if s.method == "auto":
                console.note("engines have no gradients: CMA-ES looks for one w for all layers")
            return project_without_gradient(
                self._generator,
                self._images,
                steps=s.steps,
                seeds_start=s.seeds_start,
                start=self._start,
                seed=s.seed,
            )
        return self._follow_gradient(resume)

    def _follow_gradient(self, resume: bool) -> Iterator[ProjectionStep]:
        from stylert.apps.projection.projector import open_projector
        from stylert.apps.projection.result_file import read_state

        s = self._search
        settings = s.to_settings()
        state = read_state(self._out) if resume else None
        with console.show_progress() as progress:
            self._projector = open_projector(
                self._generator,
                self._images,
                settings=settings,
                start=self._start,
                seeds_start=0 if resume and self._start is None else s.seeds_start,
                features=self._loss,
                progress=lambda done, total: progress("looking for a start", done, total),
            )
        if state is not None:
            self._projector.load_state(state)
        return iter(self._projector)


def _show(folder: Path | None, images: np.ndarray) -> Any:
    """What writes the pictures of some steps: the photos above what was found."""

    def show(step: ProjectionStep) -> None:
        if folder is None or (step.number % STEPS_A_PICTURE and step.number != step.steps):
            return
        rows = [np.concatenate(list(row), axis=1) for row in (images, to_uint8(step.img))]
        save_image(np.concatenate(rows), folder / f"step-{step.number:06d}.png")

    return show


def _open_film(film: Path | None, force: bool) -> Any:
    """What takes the frames of all steps: a video, or nobody."""
    if film is None:

        def drop(frames: Iterator[np.ndarray], total: int) -> None:
            for _ in frames:
                pass

        return drop
    from stylert.apps.video import VideoFile

    file = VideoFile(film, fps=30, force=force)
    return lambda frames, total: file.write(frames, total=total)


def inpaint(
    bundle: BundleFolder,
    photo: Annotated[Path, typer.Argument(help="The photo.", metavar="PHOTO")],
    mask: Annotated[
        Path,
        typer.Argument(help="A picture of its size: white to keep, black to fill.", metavar="MASK"),
    ],
    *,
    out: Annotated[Path, in_output("Picture to write; of several, their names get numbers.")],
    variants: Annotated[int, in_search("Proposals, the best first.", min=1, max=64)] = 1,
    steps: Annotated[int, in_search("How many steps to take.", min=1)] = 200,
    seeds_start: Annotated[
        int | None,
        in_search("Samples to start at the best of; 600 by default, of large pictures 100.", min=1),
    ] = None,
    seed: Annotated[int, in_search("Seed of the search.", min=0)] = 0,
    feather: Annotated[
        float | None, in_search("Pixels over which the filling fades into the photo.", min=0)
    ] = None,
    ws: Annotated[Path | None, in_output("File for the ws that fill it: .npz.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    where: WhereHere,
) -> None:
    """Fill a hole in a photo with what fits around it. What is in the hole is never read.

    Example: stylert inpaint ffhq-bundle me.png mask.png --out whole.png
    """
    from dataclasses import replace

    from stylert.apps.projection import read_mask, read_photos
    from stylert.apps.projection.inpainting import SETTINGS, Filling
    from stylert.apps.projection.result_file import write_result

    files = (
        [out]
        if variants == 1
        else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, variants + 1)]
    )
    for file in files:
        check_picture(file, force=force)
    if ws is not None:
        check_styles("ws", ws, force=force)
    with where.open(bundle) as generator, console.show_progress() as progress:
        image = read_photos([photo], generator.spec)[0]
        size = read_picture(photo, channels=1).shape[:2]
        filling = Filling(
            generator,
            image,
            read_mask(mask, generator.spec, like=(size[0], size[1])),
            variants=variants,
            seeds_start=seeds_start,
            feather_by=feather,
            settings=replace(SETTINGS, steps=steps, seed=seed),
            progress=progress,
        )
        last: ProjectionStep | None = None

        def write() -> list[float]:
            assert last is not None
            found = filling.fill(last)
            for file, filled in zip(files, found.images, strict=True):
                save_image(filled, file)
            if ws is not None:
                write_result(ws, found.ws)
            return [round(float(p), 2) for p in found.psnr]

        try:
            for last in filling:
                progress("filling the hole", last.number, last.steps)
        except KeyboardInterrupt:
            if last is not None:
                write()
                console.note(f"what {last.number} steps have filled it with is in {files[0]}")
            raise
        psnr = write()
    lines = [
        f"Wrote {file}: {p:.1f} dB around the hole." for file, p in zip(files, psnr, strict=True)
    ]
    written = files if ws is None else [*files, ws]
    facts = {
        "files": [str(file) for file in written],
        "psnr": psnr,
        "backend": generator.choice,
    }
    console.tell_result(facts, generator.choice, *lines, as_json=as_json)
