"""The routes of photos: inversion at once, and jobs for what takes longer."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from stylert.apps.serving.encoding import Encoding
from stylert.apps.serving.jobs import Job, NotThere
from stylert.apps.serving.photo_requests import InpaintRequest, InvertRequest, ProjectRequest
from stylert.apps.serving.photos import Photos

__all__ = ["PHOTO_ROUTES", "add_photos"]

PHOTO_ROUTES = ("/invert", "/project", "/inpaint")  # whose bodies may be larger


def add_photos(app: FastAPI, photos: Photos, answers: Any) -> None:
    """Add the routes.

    Args:
        app: to add them to.
        photos: what works.
        answers: of the OpenAPI: what the errors are.
    """

    @app.post("/invert", responses=answers)
    async def invert(request: InvertRequest) -> dict[str, str]:
        """Find the styles of a photo by the encoder: a handle, which stands where a seed can."""
        return {"w": await photos.invert(request)}

    @app.post("/project", responses=answers, status_code=202)
    async def project(request: ProjectRequest) -> dict[str, Any]:
        """Start to find the styles of a photo by gradients, as a job."""
        return (await photos.project(request)).tell()

    @app.post("/inpaint", responses=answers, status_code=202)
    async def inpaint(request: InpaintRequest) -> dict[str, Any]:
        """Start to fill a hole in a photo, as a job."""
        return (await photos.inpaint(request)).tell()

    @app.get("/jobs/{id}", responses=answers)
    async def look(id: str) -> dict[str, Any]:
        """Tell how far a job is, and what it has found. One that nobody asks for ends."""
        return photos.jobs.find(id).tell()

    @app.get("/jobs/{id}/picture", responses=answers, response_class=Response)
    async def picture(id: str, index: int = 0) -> Response:
        """Give a picture of a job as PNG: what is drawn now, or one of the results."""
        return await asyncio.to_thread(_encode, photos.jobs.find(id), index)

    @app.delete("/jobs/{id}", responses=answers)
    async def cancel(id: str) -> dict[str, Any]:
        """End a job at its next step. What it has found so far stays."""
        return photos.jobs.cancel(id).tell()


def _encode(job: Job, index: int) -> Response:
    pictures = job.pictures
    if not 0 <= index < len(pictures):
        raise NotThere(f"index: got {index}, but the job has {len(pictures)} pictures.")
    encoding = Encoding("png", "image")
    return Response(encoding.encode(pictures[index][None]), media_type=encoding.media_type)
