"""The bodies of the requests with photos: JSON, with the pictures in base64."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stylert.apps.serving.requests import Handle

__all__ = ["InpaintRequest", "InvertRequest", "ProjectRequest"]

_PIXELS = (  # a PNG of 8 x 8 grey pixels
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mM8wQABTAwUMQA6AADYbMmlZgAA"
    "AABJRU5ErkJggg=="
)
_MASK = (  # of which the lower half is a hole
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEklEQVR42mP8zwABTAw4GcQAAEiNAQf7aJRa"
    "AAAAAElFTkSuQmCC"
)

Picture = Annotated[
    str,
    Field(
        min_length=1,
        description="A .png, .jpg or .webp file, in base64. It is not stored.",
        examples=[_PIXELS],
    ),
]


class InvertRequest(BaseModel):
    """The styles of a photo, by the bundle's encoder, as `Generator.invert`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"picture": _PIXELS}]}
    )

    picture: Picture


class ProjectRequest(BaseModel):
    """The styles of a photo, step by step, as `stylert project`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"picture": _PIXELS, "steps": 2}]},
    )

    picture: Picture
    steps: Annotated[int, Field(ge=1, description="How many, up to `job_steps` of /info.")] = 100
    space: Annotated[
        Literal["w", "w+"], Field(description="One w for all layers, or one for each.")
    ] = "w+"
    start: Annotated[
        Handle | None,
        Field(
            description="Where it starts: by default at what the encoder finds, if there is one."
        ),
    ] = None


class InpaintRequest(BaseModel):
    """What fits into a hole of a photo, as `stylert inpaint`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"picture": _PIXELS, "mask": _MASK, "steps": 2, "seeds_start": 8}]
        },
    )

    picture: Picture
    mask: Annotated[
        str,
        Field(
            min_length=1,
            description="A picture of its size: white to keep, black to fill. What is in the hole "
            "is never read.",
        ),
    ]
    steps: Annotated[int, Field(ge=1, description="How many, up to `job_steps` of /info.")] = 100
    variants: Annotated[int, Field(ge=1, le=4, description="Proposals, the best first.")] = 1
    seeds_start: Annotated[
        int | None,
        Field(
            ge=1, le=1000, description="Samples among which it looks for starts; 600 by default."
        ),
    ] = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Of the search.")] = 0
