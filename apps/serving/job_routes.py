"""The routes of jobs: how far one is, what it has found, and its end; and searches by words."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from stylert.apps.serving.encoding import Encoding
from stylert.apps.serving.jobs import Job, Jobs, NotThere
from stylert.apps.serving.search_request import SearchRequest
from stylert.apps.serving.searches import Searches

__all__ = ["add_jobs", "add_search"]


def add_search(app: FastAPI, searches: Searches, answers: Any) -> None:
    """Add the route that starts searches.

    Args:
        app: to add it to.
        searches: what works.
        answers: of the OpenAPI: what the errors are.
    """

    @app.post("/search", responses=answers, status_code=202)
    async def search(request: SearchRequest) -> dict[str, Any]:
        """Start to look for the pictures that a text tells of, as a job."""
        return searches.start(request).tell()


def add_jobs(app: FastAPI, jobs: Jobs, answers: Any) -> None:
    """Add the routes that all jobs have, whatever they do; as `add_search`."""

    @app.get("/jobs/{id}", responses=answers)
    async def look(id: str) -> dict[str, Any]:
        """Tell how far a job is, and what it has found. One that nobody asks for ends."""
        return jobs.find(id).tell()

    @app.get("/jobs/{id}/picture", responses=answers, response_class=Response)
    async def picture(id: str, index: int = 0) -> Response:
        """Give a picture of a job as PNG: what is drawn now, or one of the results."""
        return await asyncio.to_thread(_encode, jobs.find(id), index)

    @app.delete("/jobs/{id}", responses=answers)
    async def cancel(id: str) -> dict[str, Any]:
        """End a job at its next step. What it has found so far stays."""
        return jobs.cancel(id).tell()


def _encode(job: Job, index: int) -> Response:
    pictures = job.pictures
    if not 0 <= index < len(pictures):
        there = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'}"
        raise NotThere(f"index: got {index}, but the job has {there}.")
    encoding = Encoding("png", "image")
    return Response(encoding.encode(pictures[index][None]), media_type=encoding.media_type)
