"""The routes of photos: inversion at once, and jobs for what takes longer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

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
        """Find the styles of a photo by the encoder: `w`, a handle, which stands where a seed can.

        Where a face was cut out, `picture` is what was: a .png file in base64.
        """
        return await photos.invert(request)

    @app.post("/project", responses=answers, status_code=202)
    async def project(request: ProjectRequest) -> dict[str, Any]:
        """Start to find the styles of a photo by gradients, as a job."""
        return (await photos.project(request)).tell()

    @app.post("/inpaint", responses=answers, status_code=202)
    async def inpaint(request: InpaintRequest) -> dict[str, Any]:
        """Start to fill a hole in a photo, as a job."""
        return (await photos.inpaint(request)).tell()
