"""A StyleGAN2, from the modules of a pickled one.

Tensor shapes and the attributes of the layers are the truth: the two repositories have different
defaults, and what was left at its default is not recorded in the arguments (`_init_kwargs`). The
arguments must agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.blocks import MAX_BLOCKS
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.nvlabs.arguments import check_arguments, find_unknown, list_sources
from stylert.export.checkpoints.nvlabs.attributes import read_clamp, read_common
from stylert.export.checkpoints.nvlabs.mapping import (
    check_fully_connected,
    list_mapping_arguments,
    read_mapping,
)
from stylert.export.checkpoints.nvlabs.modules import Modules, Reading
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.runtime.errors import CheckpointError

__all__ = ["read_stylegan2"]

_CLASSES = frozenset(
    (
        "Generator",
        "SynthesisNetwork",
        "SynthesisBlock",
        "SynthesisLayer",
        "ToRGBLayer",
        "Conv2dLayer",
        "MappingNetwork",
        "FullyConnectedLayer",
    )
)

# Arguments that are compared, or change nothing which the tensors and attributes do not tell.
_ARGUMENTS = frozenset(
    (
        "activation",
        "architecture",
        "channel_base",
        "channel_max",
        "conv_clamp",
        "fp16_channels_last",
        "fused_modconv",
        "fused_modconv_default",
        "num_fp16_res",
        "resample_filter",
        "use_noise",
    )
)


def read_stylegan2(modules: Modules) -> Reading:
    """A StyleGAN2 generator, of either repository.

    Raises:
        CheckpointError: a module is missing, an attribute has a value that is not supported, or the
            arguments contradict the tensors.
    """
    config = _read_config(modules)
    notes = []
    if config.const_shape != (4, 4):
        notes.append("the image is {} pixels high and {} wide".format(*config.img_shape))
    return Reading(
        config=config,
        format=_tell_format(modules),
        filled=_fill_filters(modules, config),
        copies=_list_filters(modules, ("conv0", "skip")),
        unused=frozenset(_list_filters(modules, ("conv1",))),
        classes=_CLASSES,
        unknown_arguments=tuple(find_unknown(modules, _ARGUMENTS)),
        notes=tuple(notes),
    )


def _read_config(modules: Modules) -> StyleGAN2Config:
    blocks = _list_blocks(modules)
    layers = _list_layers(modules, blocks)
    to_rgbs = [f"{block}.torgb" for block in blocks if f"{block}.torgb" in modules.objects]
    const = modules.find_shape("synthesis.b4.const", 3)
    config = StyleGAN2Config(
        **read_mapping(modules),
        img_channels=modules.find_shape(f"{blocks[-1]}.torgb.bias", 1)[0],
        const_shape=(const[1], const[2]),
        channels=tuple(modules.find_shape(f"{block}.conv1.bias", 1)[0] for block in blocks),
        architecture=read_common(modules, blocks, "architecture"),
        activation=read_common(modules, layers, "activation"),
        conv_clamp=read_clamp(modules, [*layers, *to_rgbs]),
        use_noise=read_common(modules, layers, "use_noise") is True,
        num_fp16_res=_count_fp16_res(modules, blocks),
    )
    check_fully_connected(modules, config)
    _check_resampling(modules, blocks)
    _check_arguments(modules, config)
    return config


def _tell_format(modules: Modules) -> str:
    """Which repository wrote it: only stylegan3's layers know their number of channels."""
    if "in_channels" in modules.objects["synthesis.b4.conv1"].state:
        return "stylegan3-repository StyleGAN2 pickle"
    return "stylegan2-ada-pytorch pickle"


def _fill_filters(modules: Modules, config: StyleGAN2Config) -> dict[str, np.ndarray]:
    """No filter is the same as one that changes nothing."""
    return {
        f"synthesis.{block}.resample_filter": np.ones((1, 1), dtype=np.float32)
        for block in config.block_names
        if modules.objects[f"synthesis.{block}"].state["_buffers"].get("resample_filter", ...)
        is None
    }


def _list_filters(modules: Modules, layers: tuple[str, ...]) -> dict[str, str]:
    """The filters that layers of a block hold, and the block's own.

    conv1 does not resample: its filter has no use, and is the usual one whatever the block's is.
    """
    return {
        name: f"{name.rsplit('.', 2)[0]}.resample_filter"
        for name in modules.tensors
        if name.endswith(".resample_filter") and name.split(".")[-2] in layers
    }


# The structure.


def _list_blocks(modules: Modules) -> list[str]:
    """Paths of the blocks b4, b8, ..., which must have no gap."""
    names = modules.list_children("synthesis")
    expected = [f"b{4 << i}" for i in range(min(len(names), MAX_BLOCKS))]
    if not names or sorted(names) != sorted(expected):
        raise CheckpointError(
            f"not supported: synthesis has the modules {quote_some(names)}, "
            "expected b4, b8, b16, ..."
        )
    return [f"synthesis.{name}" for name in expected]


def _list_layers(modules: Modules, blocks: list[str]) -> list[str]:
    return [
        f"{block}.{conv}"
        for i, block in enumerate(blocks)
        for conv in (("conv1",) if i == 0 else ("conv0", "conv1"))
    ]


def _count_fp16_res(modules: Modules, blocks: list[str]) -> int:
    flags = [modules.find(block, "use_fp16") is True for block in blocks]
    count = sum(flags)
    if flags != sorted(flags):
        raise CheckpointError(
            "not supported: use_fp16 is set in some lower, but not in all higher blocks"
        )
    return count


def _check_resampling(modules: Modules, blocks: list[str]) -> None:
    """conv0 and skip double the image, nothing else does."""
    for path, module in modules.objects.items():
        block, _, name = path.rpartition(".")
        if block not in blocks or name not in ("conv0", "conv1", "skip"):
            continue
        expected = 1 if name == "conv1" else 2
        if module.state.get("up") != expected or module.state.get("down", 1) != 1:
            raise CheckpointError(
                f"not supported: {path} scales by {quote(module.state.get('up'))}, "
                f"expected {expected}"
            )


# The arguments: they are compared with what was found.


def _check_arguments(modules: Modules, config: StyleGAN2Config) -> None:
    made = list_mapping_arguments(config) | {
        "architecture": config.architecture,
        "activation": config.activation,
        "conv_clamp": config.conv_clamp,
        "use_noise": config.use_noise,
        "num_fp16_res": config.num_fp16_res,
    }
    for source, given in list_sources(modules).items():
        half = given.get("num_fp16_res")
        if type(half) is int and min(half, len(config.channels) - 1) == config.num_fp16_res:
            made["num_fp16_res"] = half  # the 4x4 block is never half, whatever was asked for
        check_arguments(source, given, made)
        if "img_resolution" in given:
            _check_resolution(given["img_resolution"], source, config)
        if given.keys() & {"channel_base", "channel_max"}:
            _check_channels(given, source, config)


def _check_resolution(value: Any, source: str, config: StyleGAN2Config) -> None:
    """Forks with a rectangular constant give one side, or the number in the last block's name."""
    sides = list(value) if type(value) in (list, tuple) and len(value) <= 2 else [value]
    last = config.block_resolutions[-1]
    if all(type(side) is int and side in (*config.img_shape, last) for side in sides):
        return
    shown = "x".join(quote(side) for side in sides)
    const, image = ("x".join(map(str, shape)) for shape in (config.const_shape, config.img_shape))
    raise CheckpointError(
        f"img_resolution is {shown} in {source}, but the blocks b4..b{last} and the constant "
        f"{const} make {image}"
    )


def _check_channels(given: Mapping[str, Any], source: str, config: StyleGAN2Config) -> None:
    """A block of resolution R has min(channel_base // R, channel_max) channels.

    Where one of the two is not given, it has the default of both repositories.
    """
    base, most = given.get("channel_base", 32768), given.get("channel_max", 512)
    expected = [
        min(base // resolution, most) if type(base) is type(most) is int else None
        for resolution in config.block_resolutions
    ]
    if expected != list(config.channels):
        raise CheckpointError(
            f"channel_base {quote(base)} and channel_max {quote(most)} in {source} make blocks "
            f"of {expected} channels, but the tensors have {list(config.channels)}"
        )
