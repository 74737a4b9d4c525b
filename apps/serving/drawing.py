"""From a request to images: how many they are, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

import numpy as np

from stylert.apps.serving.handles import find_styles, has_handles
from stylert.apps.serving.requests import (
    EditRequest,
    GenerateRequest,
    InterpolateRequest,
    MixRequest,
    PictureRequest,
    StyledRequest,
)
from stylert.runtime import Generator
from stylert.runtime.control.interpolation import make_frame_times
from stylert.runtime.control.layers import find_layers
from stylert.runtime.control.styles import mix_styles
from stylert.runtime.drawing_options import DrawingOptions, PictureOptions, StyleOptions
from stylert.runtime.errors import InvalidInput

__all__ = ["count_columns", "count_images", "draw"]

# What `Generator.edit` takes for the name of a direction, with class_idx and labels.
FindDirection = Callable[[str, Any, Any], Any]


def count_images(request: PictureRequest) -> int:
    """How many images a request is for.

    Raises:
        InvalidInput: arguments that do not go together.
    """
    if isinstance(request, MixRequest):
        return len(_list(request.rows)) * len(_list(request.columns))
    if isinstance(request, InterpolateRequest):
        return max(_frame_count(request), len(_list(request.mix_seeds)))
    if isinstance(request, EditRequest):
        several = max(len(_list(request.seeds)), len(_list(request.strength)))
        return max(several, len(_list(request.mix_seeds)))
    assert isinstance(request, GenerateRequest)
    return len(_list(request.seeds))


def count_columns(request: PictureRequest) -> int | None:
    """Images in a row of the grid, None = as square as it gets."""
    if isinstance(request, MixRequest):
        return len(_list(request.columns))
    if isinstance(request, EditRequest) and len(_list(request.strength)) > 1:
        return count_images(request)
    return None


@singledispatch
def draw(request: Any, generator: Generator, find_direction: FindDirection) -> np.ndarray:
    """Draw what a request asks for.

    Args:
        request: of pictures.
        generator: what draws.
        find_direction: gives the direction of a name, for a class or labels.

    Returns:
        'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W].

    Raises:
        InvalidInput: a value that does not fit the generator.
        EngineError: the backend failed.
    """
    raise TypeError(type(request).__name__)


@draw.register
def _generate(
    request: GenerateRequest, generator: Generator, find_direction: FindDirection
) -> np.ndarray:
    seeds: Any = request.seeds
    if has_handles(seeds):
        ws = find_styles(seeds, generator, request.find_options(StyleOptions))
        picture = request.find_options(PictureOptions)
        return generator.synthesize(ws, output=request.output, **picture)
    options = request.find_options(DrawingOptions)
    return generator.generate(seeds, output=request.output, **options)


@draw.register
def _mix(request: MixRequest, generator: Generator, find_direction: FindDirection) -> np.ndarray:
    for name in ("class_idx", "noise_seed"):
        if isinstance(getattr(request, name), list):
            raise InvalidInput(f"{name}: got several, expected one for all images.")
    rows: Any = _list(request.rows)
    columns: Any = _list(request.columns)
    options: Any = request.find_options(DrawingOptions)
    if has_handles([*rows, *columns]):
        styles = request.find_options(StyleOptions)
        rows = find_styles(rows, generator, styles)
        columns = find_styles(columns, generator, styles)
        options = request.find_options(PictureOptions)
    grid = generator.mix(rows, columns, layers=request.layers, output=request.output, **options)
    return grid.reshape(-1, *grid.shape[2:])


@draw.register
def _interpolate(
    request: InterpolateRequest, generator: Generator, find_direction: FindDirection
) -> np.ndarray:
    keyframes: Any = request.seeds
    options: Any = request.find_options(StyleOptions)
    if has_handles(keyframes):
        keyframes, options = find_styles(keyframes, generator, options), {}
    times = _times(request)
    ws = generator.styles_between(
        keyframes, times, curve=request.curve, loop=request.loop, **options
    )
    ws = _mix_in(ws, request, generator)
    ws = _move(ws, request.directions or {}, request, generator, find_direction)
    return generator.synthesize(ws, output=request.output, **request.find_options(PictureOptions))


@draw.register
def _edit(request: EditRequest, generator: Generator, find_direction: FindDirection) -> np.ndarray:
    steps = _steps(request)
    ws = find_styles(request.seeds, generator, request.find_options(StyleOptions))
    ws = _mix_in(ws, request, generator)
    ws = _move(ws, steps, request, generator, find_direction)
    return generator.synthesize(ws, output=request.output, **request.find_options(PictureOptions))


def _mix_in(ws: np.ndarray, request: StyledRequest, generator: Generator) -> np.ndarray:
    """Styles with the layers that come from other seeds."""
    if (request.mix_seeds is None) != (request.mix_layers is None):
        raise InvalidInput("mix_seeds, mix_layers: got one of them, expected both or neither.")
    if request.mix_seeds is None:
        return ws
    other = find_styles(request.mix_seeds, generator, request.find_options(StyleOptions))
    if len(other) != len(ws) and 1 not in (len(other), len(ws)):
        raise InvalidInput(f"mix_seeds: got {len(other)}, expected 1 or {len(ws)}.")
    return mix_styles(ws, other, find_layers(request.mix_layers or (), generator.layer_groups))


def _move(
    ws: np.ndarray,
    steps: Mapping[str, Any],
    request: StyledRequest,
    generator: Generator,
    find_direction: FindDirection,
) -> np.ndarray:
    """Styles moved along directions, whose strengths come by name."""
    for name, strength in steps.items():
        direction = find_direction(name, request.class_idx, request.labels)
        ws = generator.edit(ws, direction, strength, layers=request.layers)
    return ws


def _steps(request: EditRequest) -> Mapping[str, Any]:
    """The strengths by direction."""
    if (request.direction is None) != (request.strength is None):
        raise InvalidInput("direction, strength: got one of them, expected both or neither.")
    if (request.direction is None) == (request.directions is None):
        raise InvalidInput("direction, directions: got both or neither, expected one of the two.")
    if request.directions is not None:
        return request.directions
    return {str(request.direction): request.strength}


def _frame_count(request: InterpolateRequest) -> int:
    if (request.t is None) == (request.frames is None):
        raise InvalidInput("t, frames: got both or neither, expected one of the two.")
    if request.frames is None:
        return 1
    K = len(request.seeds)
    return K * request.frames if request.loop else (K - 1) * request.frames + 1


def _times(request: InterpolateRequest) -> np.ndarray:
    """The places of the frames, [T], where 1 is the second keyframe."""
    K = len(request.seeds)
    if request.frames is not None:
        return make_frame_times(K, request.frames, loop=request.loop)
    assert request.t is not None
    return np.array([request.t * (K if request.loop else K - 1)])


def _list(value: Any) -> list[Any]:
    """One or several as a list; None is none."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
