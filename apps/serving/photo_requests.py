"""The bodies of the requests with photos: JSON, with the pictures in base64."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stylert.apps.serving.requests import Handle

__all__ = ["FaceRequest", "InpaintRequest", "InvertRequest", "ProjectRequest"]

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


Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Point = Annotated[list[Pixel], Field(min_length=2, max_length=2)]


class FaceRequest(BaseModel):
    """A photo, and whether a face is cut out of it first, as `stylert invert` does."""

    picture: Picture
    align: Annotated[
        bool,
        Field(
            description="Find the largest face, and crop it as FFHQ. /info says in `photos.align` "
            "whether this service can."
        ),
    ] = False
    landmarks: Annotated[
        Annotated[list[Point], Field(min_length=5, max_length=5)] | None,
        Field(
            description="Crop this face as FFHQ: [x, y] of both eyes, the nose and both corners of "
            "the mouth, the left ones first, in pixels of the photo as it is shown."
        ),
    ] = None

    @property
    def wants_face(self) -> bool:
        """Whether a face is cut out of the photo."""
        return self.align or self.landmarks is not None


class InvertRequest(FaceRequest):
    """The styles of a photo, by the bundle's encoder, as `Generator.invert`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"picture": _PIXELS}]}
    )


class ProjectRequest(FaceRequest):
    """The styles of a photo, step by step, as `stylert project`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"picture": _PIXELS, "steps": 2}]},
    )

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
