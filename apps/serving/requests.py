"""The bodies of the requests: JSON with the argument names of `Generator`'s methods."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from stylert.apps.video.pixels import FRAME_CHANNELS
from stylert.runtime.drawing_options import DrawingOptions, PictureOptions, StyleOptions

__all__ = [
    "VIDEO_TYPES",
    "EditRequest",
    "Format",
    "GenerateRequest",
    "InterpolateRequest",
    "Layout",
    "MixRequest",
    "PictureRequest",
    "StyledRequest",
    "VideoRequest",
    "writable_videos",
]

Layout = Literal["image", "grid", "zip"]
Format = Literal["png", "jpeg", "webp", "npy"]

Number = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Seeds = Seed | Annotated[list[Seed], Field(min_length=1)]
MAX_HANDLE = 1 << 20  # characters
Handle = Annotated[
    str,
    Field(
        pattern="^w:[A-Za-z0-9+/]+=*$",
        max_length=MAX_HANDLE,
        description="Styles, as /invert and jobs give them.",
    ),
]
Source = Seed | Handle
Sources = Source | Annotated[list[Source], Field(min_length=1)]
Class = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=100)]
Layers = str | int | Annotated[list[str | int], Field(min_length=1)]
Row = list[Number]

VIDEO_TYPES: dict[str, str] = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "webp": "image/webp",
    "gif": "image/gif",
}
_OF_PYAV = ("mp4", "webm")  # the others are Pillow's, which is always there

Options = TypeVar("Options", StyleOptions, PictureOptions, DrawingOptions)


class PictureRequest(BaseModel):
    """What all requests for pictures take."""

    model_config = ConfigDict(extra="forbid", strict=True)

    truncation_psi: Annotated[
        Number | Row | list[Row] | dict[str, Number] | None,
        Field(
            description="1 = as trained, 0 = the mean; by image, by image and layer, or by layers: "
            "{'coarse': 0.5}. By default that of the family."
        ),
    ] = None
    truncation_cutoff: Annotated[
        int | None, Field(ge=0, description="Layers from this one on are not truncated.")
    ] = None
    class_idx: Annotated[
        Class | list[Class] | None,
        Field(
            description="One class, or one per image: numbers or names; conditional generators "
            "only. By default the seed mod their number."
        ),
    ] = None
    labels: Annotated[
        Row | list[Row] | dict[str, Number] | None,
        Field(description="Soft labels, or weights by class, instead of class_idx."),
    ] = None
    noise_mode: Literal["const", "none", "seeded"] = "const"
    noise_seed: Annotated[
        Seeds | None, Field(description="Of 'seeded': one, or one per image.")
    ] = None
    output: Annotated[
        Literal["image", "img"],
        Field(description="'img': float32 [N, C, H, W] in [-1, 1], as npy only."),
    ] = "image"
    layout: Annotated[
        Layout | None,
        Field(description="By default one image as it is, and several as a grid; npy as an array."),
    ] = None
    format: Annotated[
        Format | None, Field(description="By default as the header Accept asks, else png.")
    ] = None
    quality: Annotated[int | None, Field(ge=1, le=100, description="Of jpeg and webp.")] = None

    def find_options(self, kind: type[Options]) -> Options:
        """How its seeds become styles, its styles pictures, or both: by the kind of options."""
        names = kind.__annotations__.keys() & type(self).model_fields.keys()
        values = {name: getattr(self, name) for name in names}
        if isinstance(values.get("labels"), dict):  # by class, which are integers again
            values["labels"] = {_index(key): weight for key, weight in values["labels"].items()}
        return cast(Options, values)


class MovedRequest(PictureRequest):
    """What requests for pictures that StyleGAN3 can move take besides."""

    translate: Annotated[
        Row | list[Row] | None,
        Field(description="Right and down, in sides of the picture; StyleGAN3 only."),
    ] = None
    rotate: Annotated[
        Number | Row | None, Field(description="Degrees, counter-clockwise; StyleGAN3 only.")
    ] = None
    transform: Annotated[
        list[Row] | list[list[Row]] | None,
        Field(description="Inverse matrices [3, 3] instead; StyleGAN3 only."),
    ] = None


class StyledRequest(MovedRequest):
    """What requests for pictures of styles take besides: first some are mixed in, then all move."""

    mix_seeds: Annotated[
        Sources | None, Field(description="Of other styles: one, or one per image.")
    ] = None
    mix_layers: Annotated[
        Layers | None, Field(description="The layers that come from mix_seeds.")
    ] = None
    directions: Annotated[
        dict[str, Number] | None,
        Field(
            max_length=1000,
            description="Strengths by name: those of the bundle, and 'pca:0', 'pca:1', ... for the "
            "principal components of w, in standard deviations.",
        ),
    ] = None
    layers: Annotated[Layers, Field(description="Those that move.")] = "all"


class GenerateRequest(MovedRequest):
    """The images of seeds, as `Generator.generate`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"seeds": [1], "truncation_psi": 0.7},
                {"seeds": [1, 2, 3, 4], "layout": "grid", "format": "jpeg", "quality": 90},
                {"seeds": [5], "noise_mode": "seeded", "noise_seed": 7, "format": "npy"},
            ]
        }
    )

    seeds: Sources


class MixRequest(PictureRequest):
    """Every row with some layers of every column, as `Generator.mix`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rows": [1, 2], "columns": [3, 4, 5], "layers": "coarse"}]}
    )

    rows: Sources
    columns: Sources
    layers: Layers


class InterpolateRequest(StyledRequest):
    """The way from keyframe to keyframe, as `Generator.interpolate`: one frame of it, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"seeds": [1, 2, 3], "t": 0.25},
                {"seeds": [1, 2], "frames": 8, "curve": "slerp", "layout": "zip"},
                {"seeds": [1, 2], "t": 0.5, "mix_seeds": 3, "mix_layers": "coarse"},
            ]
        }
    )

    seeds: Annotated[list[Source], Field(min_length=2, description="The keyframes.")]
    t: Annotated[
        Number | None,
        Field(ge=0, le=1, description="One frame: 0 = the first keyframe, 1 = the end of the way."),
    ] = None
    frames: Annotated[
        int | None, Field(ge=1, description="All frames: this many to the next keyframe.")
    ] = None
    curve: Literal["cubic", "linear", "slerp"] = "cubic"
    loop: bool = False


class EditRequest(StyledRequest):
    """Styles along directions, as `Generator.styles`, `edit` and `synthesize`.

    Either `directions`, or one `direction` with its `strength`, which may be several for a strip.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"seeds": 1, "direction": "sefa_coarse_0", "strength": [-3, 0, 3]},
                {"seeds": [1], "directions": {"sefa_coarse_0": 3, "pca:0": -1.5}},
                {"seeds": 1, "mix_seeds": 2, "mix_layers": "middle", "directions": {}},
            ]
        }
    )

    seeds: Sources
    direction: str | None = None
    strength: Number | Annotated[Row, Field(min_length=1)] | None = None


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


def writable_videos(channels: int) -> list[str]:
    """The formats that this machine can write of a network's pictures, the best first."""
    if channels not in FRAME_CHANNELS:
        return []
    missing = _OF_PYAV if find_spec("av") is None else ()
    return [name for name in VIDEO_TYPES if name not in missing]


def _index(key: str) -> Any:
    """A class as JSON writes it in a key."""
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 10 else key
