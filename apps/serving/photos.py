"""Photos that clients send: their styles, step by step or at once, and what fits into their holes.

Nothing of them is stored: a photo is in memory until its request is answered, or its job has ended.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from stylert.apps.photos.cropping import can_find_faces, cut_face, open_detector
from stylert.apps.photos.faces import FaceDetector
from stylert.apps.projection import ProjectionSettings
from stylert.apps.projection.inpainting import SETTINGS, Filling
from stylert.apps.projection.photos import CHANNELS, check_channels, fit_picture, make_mask
from stylert.apps.projection.projector import open_projector
from stylert.apps.serving.handles import read_handle, write_handle
from stylert.apps.serving.jobs import Job
from stylert.apps.serving.photo_requests import (
    FaceRequest,
    InpaintRequest,
    InvertRequest,
    ProjectRequest,
)
from stylert.apps.serving.settings import Settings
from stylert.apps.serving.workshop import Workshop
from stylert.runtime import Generator
from stylert.runtime.bundle import ENCODER
from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.files.pictures import read_picture
from stylert.runtime.images import encode_image, to_uint8

__all__ = ["Photos", "tell_photos"]

_FORMATS = ("PNG", "JPEG", "WEBP")


def tell_photos(generator: Generator, settings: Settings) -> dict[str, bool]:
    """What the service can do with photos: 'invert', 'project', 'inpaint', and 'align' them."""
    known = generator.spec.img_channels in CHANNELS
    encoder = ENCODER in generator.bundle.graphs and generator.encoder.picture != "labels"
    gradient = known and generator.has_gradient and settings.max_jobs > 0
    faces = generator.spec.img_channels == 3 and can_find_faces()
    return {
        "invert": known and encoder,
        "project": gradient,
        "inpaint": gradient,
        "align": ((known and encoder) or gradient) and faces,
    }


class Photos:
    """Works on photos, in a workshop."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._shown = workshop.shown
        self._settings = workshop.settings
        self._detector: FaceDetector | None = None  # of faces, opened when it is first asked for

    async def invert(self, request: InvertRequest) -> dict[str, str]:
        """The handle of a photo's styles, and the face that was cut out, if one was.

        Raises:
            InvalidInput: no picture, no face in it, or the bundle has no encoder.
            MissingExtra: this machine cannot find faces.
            Overloaded: too many are looked at already.
            ShuttingDown: the service ends.
            EngineError: the backend failed.
        """
        _check_encoder(self._shown)
        _check_face(request)

        def work() -> dict[str, str]:
            photo = self._read_face(request)
            found = {"w": write_handle(self._invert(photo, request)[0])}
            if request.wants_face:
                found["picture"] = base64.b64encode(encode_image(photo, "PNG")).decode()
            return found

        return await self._workshop.do_soon(work)

    async def project(self, request: ProjectRequest) -> Job:
        """Start to look for a photo's styles.

        Raises:
            InvalidInput: no picture, no face in it, too many steps, or the bundle has no gradient.
            MissingExtra: this machine cannot find faces.
            Overloaded: there are too many jobs.
            ShuttingDown: the service ends.
        """
        self._check_job(request.steps)
        _check_face(request)
        spec = self._shown.spec
        given = None if request.start is None else read_handle(request.start, spec)[None]
        photo = await self._workshop.do_soon(partial(self._read_face, request))

        def run(job: Job, step: Callable[..., None]) -> None:
            self._project(photo, given, request, job, step)

        return self._workshop.jobs.start("project", run)

    async def inpaint(self, request: InpaintRequest) -> Job:
        """Start to fill a hole in a photo.

        Raises:
            InvalidInput: no picture, a mask that does not fit, too many steps, or the bundle has no
                gradient.
            Overloaded: there are too many jobs.
            ShuttingDown: the service ends.
        """
        self._check_job(request.steps)
        if request.seeds_start is not None and request.seeds_start < request.variants:
            raise InvalidInput(
                f"seeds_start: got {request.seeds_start}, expected one for each of "
                f"{request.variants} variants or more."
            )
        spec = self._shown.spec

        def read() -> tuple[np.ndarray, np.ndarray]:
            photo = self._read(request.picture, "picture")
            pixels = self._read(request.mask, "mask", channels=1)
            like = (photo.shape[0], photo.shape[1])
            return fit_picture(photo, spec), make_mask(pixels, spec, like=like)

        image, mask = await self._workshop.do_soon(read)

        def run(job: Job, step: Callable[..., None]) -> None:
            filling = Filling(
                self._workshop.open(),
                image,
                mask,
                variants=request.variants,
                seeds_start=request.seeds_start,
                settings=replace(SETTINGS, steps=request.steps, seed=request.seed),
                progress=step,
            )
            last = None
            try:
                for last in filling:
                    step("filling the hole", last.number, last.steps)
            finally:  # also what was found until it was ended
                if last is not None:
                    found = filling.fill(last)
                    job.w = [write_handle(w) for w in found.ws]
                    job.psnr = [round(float(psnr), 2) for psnr in found.psnr]
                    job.pictures = list(found.images)

        return self._workshop.jobs.start("inpaint", run)

    def _check_job(self, steps: int) -> None:
        self._shown.count_scales()  # refuses a bundle without gradient
        self._workshop.check_job("project", steps=steps)

    def _read_face(self, request: FaceRequest) -> np.ndarray:
        """The pixels [h, w, C] of a photo, or of the face in it that is asked for."""
        photo = self._read(request.picture, "picture")
        if not request.wants_face:
            return photo
        if request.landmarks is not None:
            face: np.ndarray | FaceDetector = np.array(request.landmarks)
        else:
            if self._detector is None:
                self._detector = open_detector(self._settings.job_threads)
            face = self._detector
        return cut_face(photo, face, self._shown.spec, name="picture")

    def _read(self, text: str, name: str, *, channels: int | None = None) -> np.ndarray:
        """The pixels [h, w, C] of a picture in base64."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{name}: got no base64, expected a file in it.") from None
        check_channels(self._shown.spec)
        file = io.BytesIO(data)
        file.name = name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StylertWarning)  # of alpha, which is laid on white
            return read_picture(
                file,
                channels=channels or self._shown.spec.img_channels,
                max_pixels=self._settings.max_pixels,
                formats=_FORMATS,
            )

    def _invert(self, photo: np.ndarray, request: FaceRequest) -> np.ndarray:
        """The styles [1, num_ws, w_dim] that the encoder finds of what was read."""
        on_engines = self._shown.describe()["backend"] == "tensorrt"  # which have an encoder, too
        generator = self._shown if on_engines else self._workshop.open()
        facts, spec = generator.encoder, generator.spec
        same_shape = facts.height * spec.img_width == facts.width * spec.img_height
        if same_shape and not request.wants_face:
            photo = fit_picture(photo, spec)  # so that it sees what the page shows
        colours = photo[:, :, :3] if facts.picture == "photo" else photo[:, :, :1]
        return generator.invert([np.ascontiguousarray(colours)])

    def _project(
        self,
        photo: np.ndarray,
        start: np.ndarray | None,
        request: ProjectRequest,
        job: Job,
        step: Callable[..., None],
    ) -> None:
        generator = self._workshop.open()
        if start is None and tell_photos(generator, self._settings)["invert"]:
            start = self._invert(photo, request)
        projector = open_projector(
            generator,
            fit_picture(photo, generator.spec)[None],
            settings=ProjectionSettings(space=request.space, steps=request.steps),
            start=start,
            progress=lambda done, total: step("looking for a start", done, total),
        )
        for found in projector:
            job.pictures = list(to_uint8(found.img))
            job.w = [write_handle(found.best_ws[0])]
            job.psnr = [round(float(found.best_psnr[0]), 2)]
            step("projecting", found.number, found.steps)
        job.pictures = list(generator.synthesize(found.best_ws))


def _check_face(request: FaceRequest) -> None:
    """Refuse what asks for a face in two ways, before anything is read."""
    if request.align and request.landmarks is not None:
        raise InvalidInput("landmarks: got some with align=true, expected one of the two.")


def _check_encoder(generator: Generator) -> None:
    """Refuse what has no encoder of pictures, before anything is read."""
    if generator.encoder.picture == "labels":
        raise InvalidInput(
            "This bundle's encoder takes label maps, not pictures. Use: stylert invert"
        )
