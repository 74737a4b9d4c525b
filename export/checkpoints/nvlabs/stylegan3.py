"""A StyleGAN3, from the modules of a pickled one.

The attributes of the layers and the shapes of the tensors are the truth: they hold what the design
of the network came to (see `stylegan3_design`). The arguments (`_init_kwargs`) must agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.config import check_positive
from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config, StyleGAN3Layer
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.nvlabs.arguments import check_arguments, find_unknown, list_sources
from stylert.export.checkpoints.nvlabs.attributes import read_clamp, read_typed
from stylert.export.checkpoints.nvlabs.mapping import (
    check_fully_connected,
    list_mapping_arguments,
    read_mapping,
)
from stylert.export.checkpoints.nvlabs.modules import Modules, Reading
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.runtime.errors import CheckpointError

__all__ = ["read_stylegan3"]

_CLASSES = frozenset(
    (
        "Generator",
        "SuperresGenerator",  # of StyleGAN-XL, as the next one
        "Embedding",
        "SynthesisNetwork",
        "SynthesisInput",
        "SynthesisLayer",
        "MappingNetwork",
        "FullyConnectedLayer",
    )
)

# Arguments that are compared, or change nothing which the tensors and attributes do not tell.
_ARGUMENTS = frozenset(
    (
        "channel_base",
        "channel_max",
        "conv_clamp",
        "conv_kernel",
        "filter_size",
        "first_cutoff",
        "first_stopband",
        "head_layers",
        "last_stopband_rel",
        "lrelu_upsampling",
        "magnitude_ema_beta",
        "margin_size",
        "num_critical",
        "num_fp16_res",
        "num_layers",
        "output_scale",
        "path_stem",
        "square",
        "up_factor",
        "use_radial_filters",
    )
)


def read_stylegan3(modules: Modules) -> Reading:
    """A StyleGAN3 generator, T or R.

    Raises:
        CheckpointError: a module is missing, an attribute has a value that is not supported, or the
            arguments contradict the tensors.
    """
    names = _list_layers(modules)
    paths = [f"synthesis.{name}" for name in names]
    config = StyleGAN3Config(
        **read_mapping(modules),
        img_channels=modules.find_shape(f"{paths[-1]}.bias", 1)[0],
        conv_clamp=read_clamp(modules, paths),
        input_channels=modules.find_shape("synthesis.input.freqs", 2)[0],
        input_shape=_read_shape(modules, "synthesis.input", "size"),
        input_rate=_read_input_rate(modules),
        input_bandwidth=check_positive("bandwidth", modules.find("synthesis.input", "bandwidth")),
        layers=tuple(_read_layer(modules, name) for name in names),
        output_scale=check_positive("output_scale", modules.find("synthesis", "output_scale")),
    )
    check_fully_connected(modules, config)
    _check_arguments(modules, config)
    return Reading(
        config=config,
        format="stylegan3 pickle",
        filled={},
        classes=_CLASSES,
        unknown_arguments=tuple(find_unknown(modules, _ARGUMENTS)),
        notes=_list_notes(modules),
    )


def _list_layers(modules: Modules) -> list[str]:
    """Names of the layers in their order, which must be all modules but the input."""
    names = modules.find("synthesis", "layer_names")
    there = modules.list_children("synthesis")
    plain = type(names) is list and names and all(type(name) is str for name in names)
    if not plain or sorted([*names, "input"]) != sorted(there):
        raise CheckpointError(
            f"not supported: synthesis has the modules {quote_some(there)}, expected input and its "
            f"layer_names {quote_some(names) if plain else quote(names)}"
        )
    return list(names)


def _read_layer(modules: Modules, name: str) -> StyleGAN3Layer:
    path = f"synthesis.{name}"
    out_channels, in_channels, kernel, _ = modules.find_shape(f"{path}.weight", 4)
    if read_typed(int, modules, path, "conv_kernel") != kernel:
        raise CheckpointError(f"{path}.conv_kernel differs from the shape of its weight")
    return StyleGAN3Layer(
        name=name,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=kernel,
        in_shape=_read_shape(modules, path, "in_size"),
        out_shape=_read_shape(modules, path, "out_size"),
        up=read_typed(int, modules, path, "up_factor"),
        down=read_typed(int, modules, path, "down_factor"),
        up_taps=_read_taps(modules, path, "up"),
        down_taps=_read_taps(modules, path, "down"),
        down_radial=len(_find_filter_shape(modules, path, "down")) == 2,
        padding=_read_padding(modules, path),
        half=read_typed(bool, modules, path, "use_fp16"),
        is_torgb=read_typed(bool, modules, path, "is_torgb"),
    )


def _find_filter_shape(modules: Modules, path: str, direction: str) -> tuple[int, ...]:
    tensor = modules.tensors.get(f"{path}.{direction}_filter")
    return tensor.shape if tensor else ()


def _read_taps(modules: Modules, path: str, direction: str) -> int:
    """The length of a filter, 0 where there is none; the layer says how long it must be."""
    expected = read_typed(int, modules, path, f"{direction}_taps")
    shape = _find_filter_shape(modules, path, direction)
    if (shape[0] if shape else 1) != expected:
        got = f"has the shape {list(shape)}" if shape else "is missing"
        raise CheckpointError(f"{path}.{direction}_filter {got}, expected {expected} taps")
    return expected if shape else 0


def _read_shape(modules: Modules, path: str, name: str) -> tuple[int, int]:
    """Height and width, which an array has the other way round; a number is a square's side."""
    value = modules.find(path, name)
    if type(value) is int:
        return value, value
    sides = np.atleast_1d(value.array if type(value) is PickledArray else np.array(0))
    if sides.dtype.kind in "iu" and sides.shape in ((1,), (2,)) and sides.min() > 0:
        return int(sides[-1]), int(sides[0])
    shown = f"{sides[:4].tolist()}" if type(value) is PickledArray else quote(value)
    raise CheckpointError(f"not supported: {path}.{name} is {shown}, expected width and height")


def _read_padding(modules: Modules, path: str) -> tuple[int, int, int, int]:
    """Left, right, top and bottom."""
    value = modules.find(path, "padding")
    if type(value) is not list or len(value) != 4 or not all(type(x) is int for x in value):
        raise CheckpointError(
            f"not supported: {path}.padding is {quote(value)}, expected left, right, top and bottom"
        )
    left, right, top, bottom = value
    return left, right, top, bottom


def _read_input_rate(modules: Modules) -> int:
    rate = check_positive("sampling_rate", modules.find("synthesis.input", "sampling_rate"))
    if not rate.is_integer():
        raise CheckpointError(f"not supported: synthesis.input.sampling_rate is {rate:g}")
    return int(rate)


def _list_notes(modules: Modules) -> tuple[str, ...]:
    transform = modules.tensors.get("synthesis.input.transform")
    if transform is None or np.array_equal(transform.to_float32(), np.eye(3)):
        return ()
    return ("the checkpoint has a transform of its own, which all its pictures have",)


# The arguments: they are compared with what was found.


def _check_arguments(modules: Modules, config: StyleGAN3Config) -> None:
    height, width = config.img_shape
    made = list_mapping_arguments(config) | {
        "img_resolution": max(height, width),
        "square": height == width,
        "num_ws": config.num_ws,
        "conv_clamp": config.conv_clamp,
        "output_scale": config.output_scale,
    }
    # What StyleGAN-XL has put behind a network, the head, was made with arguments of its own.
    has_head = "head_layer_names" in modules.objects[""].state
    if not has_head:
        made["num_layers"] = len(config.layers) - 1
        made["conv_kernel"] = config.layers[0].kernel
        made["use_radial_filters"] = any(layer.down_radial for layer in config.layers)
    synthesis = modules.objects["synthesis"].state
    sources = list_sources(modules) | {"the synthesis network's attributes": synthesis}
    for source, given in sources.items():
        check_arguments(source, given, made)
        if has_head:
            continue
        _check_half(given, source, config)
        if given.keys() & {"channel_base", "channel_max"}:
            _check_channels(given, source, config)


def _check_half(given: Mapping[str, Any], source: str, config: StyleGAN3Config) -> None:
    """Layers of a rate R / 2^num_fp16_res and less are float32; R is the image's longer side."""
    count = given.get("num_fp16_res")
    if count is None:
        return
    side = max(config.img_shape)
    expected = [
        type(count) is int and 0 <= count < 64 and rate * 2**count > side for rate in config.rates
    ]
    if expected != [layer.half for layer in config.layers]:
        raise CheckpointError(
            f"num_fp16_res is {quote(count)} in {source}, but the layers' use_fp16 is otherwise"
        )


def _check_channels(given: Mapping[str, Any], source: str, config: StyleGAN3Config) -> None:
    """The highest frequency of a layer decides its channels.

    Where one of the arguments is not given, it has the default of the repository.
    """
    names = ("channel_base", "channel_max", "num_critical", "first_cutoff")
    options = {name: given[name] for name in names if name in given}
    found = [layer.out_channels for layer in config.layers]
    try:
        design = StyleGAN3Design(
            img_resolution=max(config.img_shape),
            img_channels=config.img_channels,
            num_layers=len(config.layers) - 1,
            **options,
        )
        with np.errstate(all="ignore"):
            expected = [int(wide) for wide in design.channels]
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        expected = []
    if expected != found:
        shown = ", ".join(f"{name} {quote(value)}" for name, value in options.items())
        raise CheckpointError(
            f"{shown} in {source} make layers of {expected} channels, but the tensors have {found}"
        )
