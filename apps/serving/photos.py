"""Photos that clients send: their styles, step by step or at once, and what fits into their holes.

Nothing of them is stored: a photo is in memory until its request is answered, or its job has ended.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stylert.apps.projection import ProjectionSettings
from stylert.apps.projection.inpainting import SETTINGS, inpaint
from stylert.apps.projection.photos import fit_picture, make_mask
from stylert.apps.projection.projector import open_projector
from stylert.apps.serving.handles import read_handle, write_handle
from stylert.apps.serving.heavy_work import HeavyWork
from stylert.apps.serving.jobs import Job, Jobs
from stylert.apps.serving.photo_requests import InpaintRequest, InvertRequest, ProjectRequest
from stylert.apps.serving.service import Service
from stylert.apps.serving.settings import Settings
from stylert.runtime import Generator
from stylert.runtime.bundle import ENCODER
from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.files.pictures import read_picture
from stylert.runtime.images import to_uint8

__all__ = ["Photos", "tell_photos"]

_FORMATS = ("PNG", "JPEG", "WEBP")
_CHANNELS = (1, 3, 4)


def tell_photos(generator: Generator, settings: Settings) -> dict[str, bool]:
    """What the service can do with photos: 'invert', 'project' and 'inpaint'."""
    known = generator.spec.img_channels in _CHANNELS
    encoder = ENCODER in generator.bundle.graphs and generator.encoder.picture != "labels"
    gradient = known and generator.has_gradient and settings.max_jobs > 0
    return {"invert": known and encoder, "project": gradient, "inpaint": gradient}


class Photos:
    """Works on photos, with a service: in a thread of its own, by a generator of its own.

    That one is opened when it is first needed. It is the same bundle on the same kind of device, by
    ONNX Runtime, with as many threads as the settings say.
    """

    def __init__(self, service: Service) -> None:
        self._shown = service.generator
        self._settings = service.settings
        self._work = HeavyWork(lambda: service.is_drawing)
        self._opened: Generator | None = None  # in the thread of the work alone
        self.jobs = Jobs(self._work, service.settings)

    async def invert(self, request: InvertRequest) -> str:
        """The handle of a photo's styles.

        Raises:
            InvalidInput: no picture, or the bundle has no encoder.
            Overloaded: too many are looked at already.
            ShuttingDown: the service ends.
            EngineError: the backend failed.
        """
        _check_encoder(self._shown)
        work = self._work.do_soon(lambda: self._invert(self._read(request.picture, "picture")))
        return write_handle((await asyncio.wrap_future(work))[0])

    async def project(self, request: ProjectRequest) -> Job:
        """Start to look for a photo's styles.

        Raises:
            InvalidInput: no picture, too many steps, or the bundle has no gradient.
            Overloaded: there are too many jobs.
            ShuttingDown: the service ends.
        """
        self._check_job(request.steps)
        spec = self._shown.spec
        given = None if request.start is None else read_handle(request.start, spec)[None]
        photo = await self._do_soon(lambda: self._read(request.picture, "picture"))

        def run(job: Job, step: Callable[..., None]) -> None:
            self._project(photo, given, request, job, step)

        return self.jobs.start("project", run)

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

        image, mask = await self._do_soon(read)

        def run(job: Job, step: Callable[..., None]) -> None:
            found = inpaint(
                self._open(),
                image,
                mask,
                variants=request.variants,
                seeds_start=request.seeds_start,
                settings=replace(SETTINGS, steps=request.steps, seed=request.seed),
                progress=step,
            )
            job.w = [write_handle(w) for w in found.ws]
            job.psnr = [round(float(psnr), 2) for psnr in found.psnr]
            job.pictures = list(found.images)

        return self.jobs.start("inpaint", run)

    def close(self) -> None:
        """End what runs, and its thread."""
        self._work.close()
        if self._opened is not None:
            self._opened.close()

    async def _do_soon(self, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._work.do_soon(work))

    def _check_job(self, steps: int) -> None:
        self._shown.count_scales()  # refuses a bundle without gradient
        most = self._settings.job_steps
        if self._settings.max_jobs == 0:
            raise InvalidInput("This service takes no jobs. Use: stylert serve, or stylert project")
        if steps > most:
            raise InvalidInput(f"steps: got {steps}, expected up to {most}.")
        self.jobs.check_room()

    def _read(self, text: str, name: str, *, channels: int | None = None) -> np.ndarray:
        """The pixels [h, w, C] of a picture in base64."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{name}: got no base64, expected a file in it.") from None
        of_generator = self._shown.spec.img_channels
        if of_generator not in _CHANNELS:
            raise InvalidInput(
                f"generator: it draws {of_generator} channels, expected 1, 3 or 4, as photos have."
            )
        file = io.BytesIO(data)
        file.name = name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StylertWarning)  # of alpha, which is laid on white
            return read_picture(
                file,
                channels=channels or of_generator,
                max_pixels=self._settings.max_pixels,
                formats=_FORMATS,
            )

    def _open(self) -> Generator:
        """The generator of the jobs."""
        if self._opened is None:
            facts = self._shown.describe()
            on_gpu = facts.get("provider") == "cuda" or facts["backend"] == "tensorrt"
            self._opened = Generator.open(
                self._shown.bundle.path,
                backend="onnxruntime",
                provider="cuda" if on_gpu else "cpu",
                gpu=facts.get("gpu_index") if on_gpu else None,
                precision="fp32",
                threads=self._settings.job_threads,
                max_batch=4,
                check_files=False,
            )
        return self._opened

    def _invert(self, photo: np.ndarray) -> np.ndarray:
        """The styles [1, num_ws, w_dim] that the encoder finds."""
        generator = self._open()
        facts, spec = generator.encoder, generator.spec
        if facts.height * spec.img_width == facts.width * spec.img_height:
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
        generator = self._open()
        if start is None and tell_photos(generator, self._settings)["invert"]:
            start = self._invert(photo)
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


def _check_encoder(generator: Generator) -> None:
    """Refuse what has no encoder of pictures, before anything is read."""
    if generator.encoder.picture == "labels":
        raise InvalidInput(
            "This bundle's encoder takes label maps, not pictures. Use: stylert invert"
        )
