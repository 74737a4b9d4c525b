"""The body of POST /video: a walk, and the file that it becomes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stylert.apps.serving.requests import InterpolateRequest

__all__ = ["VIDEO_TYPES", "VideoRequest", "writable_videos"]

VIDEO_TYPES: dict[str, str] = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "webp": "image/webp",
    "gif": "image/gif",
}
_OF_PYAV = ("mp4", "webm")  # the others are Pillow's, which is always there


class VideoRequest(BaseModel):
    """A walk as a file that plays."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"walk": {"seeds": [1, 2], "frames": 4}, "format": "webp", "fps": 8}]
        },
    )

    walk: Annotated[
        InterpolateRequest,
        Field(description="As for /interpolate, with `frames`; one value of each for all frames."),
    ]
    format: Annotated[
        Literal["mp4", "webm", "webp", "gif"],
        Field(description="mp4 and webm need PyAV on the server; see `videos` of /info."),
    ] = "mp4"
    fps: Annotated[float, Field(ge=1, le=60, description="Frames a second.")] = 30


def writable_videos() -> list[str]:
    """The formats that this machine can write, the best first."""
    missing = _OF_PYAV if find_spec("av") is None else ()
    return [name for name in VIDEO_TYPES if name not in missing]
