"""A StyleGAN2 of a TensorFlow pickle: its configuration, and where its tensors come from.

    4x4/Const/const                                  b4.const
    4x4/Conv, RxR/Conv0_up, RxR/Conv1, RxR/ToRGB     b4.conv1, bR.conv0, bR.conv1, bR.torgb
      weight, bias                                     .weight, .bias
      mod_weight, mod_bias                             .affine.{weight, bias}
      noise_strength, and noise0, noise1, ...          .noise_strength, .noise_const
    RxR/Skip/weight                                  bR.skip.weight

The kernels of Conv0_up and Skip are flipped, mod_bias is stored less 1, and the filter is no
variable but an argument.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.tensorflow.arguments import read_number
from stylert.export.checkpoints.tensorflow.mapping import convert_mapping, read_mapping
from stylert.export.checkpoints.tensorflow.networks import TensorFlowGenerator
from stylert.export.checkpoints.tensorflow.variables import (
    Conversion,
    drop_leading_ones,
    to_conv,
    to_flipped_conv,
    transpose,
)
from stylert.export.checkpoints.validation import MAX_FILTER_TAPS
from stylert.runtime.errors import CheckpointError

__all__ = ["make_resample_filters", "read_stylegan2", "convert_stylegan2"]


def read_stylegan2(generator: TensorFlowGenerator) -> StyleGAN2Config:
    """The configuration.

    Raises:
        CheckpointError: a variable is missing, or an argument is not supported.
    """
    if any(name.startswith("synthesis/ToRGB_lod") for name in generator.variables):
        raise CheckpointError(
            "not supported: progressive growing (it has ToRGB_lod variables), as the "
            "configurations A to D of StyleGAN2 have"
        )
    blocks = generator.blocks
    const = generator.find_shape(f"{blocks[0]}/Const/const", 4)
    channels = [generator.find_shape(f"{b}/Conv1/bias", 1)[0] for b in blocks[1:]]
    return StyleGAN2Config(
        **read_mapping(generator),
        img_channels=generator.find_shape(f"{blocks[-1]}/ToRGB/bias", 1)[0],
        const_shape=(const[2], const[3]),
        channels=(const[1], *channels),
        architecture=_tell_architecture(generator),
        activation=generator.arguments.get("nonlinearity", "lrelu"),
        conv_clamp=read_number(generator, "conv_clamp", None),
        use_noise=generator.has("/noise_strength"),
        num_fp16_res=_count_fp16_res(generator),
    )


def convert_stylegan2(
    generator: TensorFlowGenerator, config: StyleGAN2Config
) -> dict[str, Conversion]:
    """The variable of each tensor, and its layout."""
    conversions = convert_mapping(config)
    conversions["synthesis.b4.const"] = Conversion(
        f"{generator.blocks[0]}/Const/const", drop_leading_ones(1)
    )
    noises = 0
    for i, (block, scope) in enumerate(zip(config.block_names, generator.blocks, strict=True)):
        layers = {"conv0": "Conv0_up", "conv1": "Conv1"} if i else {"conv1": "Conv"}
        if config.has_torgb(config.block_resolutions[i]):
            layers["torgb"] = "ToRGB"
        for layer, variables in layers.items():
            name, variable = f"synthesis.{block}.{layer}", f"{scope}/{variables}"
            layout = to_flipped_conv if layer == "conv0" else to_conv
            conversions[f"{name}.weight"] = Conversion(f"{variable}/weight", layout)
            conversions[f"{name}.bias"] = Conversion(f"{variable}/bias")
            conversions[f"{name}.affine.weight"] = Conversion(f"{variable}/mod_weight", transpose)
            conversions[f"{name}.affine.bias"] = Conversion(
                f"{variable}/mod_bias", lambda array: array + np.float32(1)
            )
            if config.use_noise and layer != "torgb":
                noise = Conversion(f"synthesis/noise{noises}", drop_leading_ones(2))
                conversions[f"{name}.noise_const"] = noise
                conversions[f"{name}.noise_strength"] = Conversion(f"{variable}/noise_strength")
                noises += 1
        if config.architecture == "resnet" and i:
            skip = Conversion(f"{scope}/Skip/weight", to_flipped_conv)
            conversions[f"synthesis.{block}.skip.weight"] = skip
    return conversions


def make_resample_filters(
    generator: TensorFlowGenerator, config: StyleGAN2Config
) -> dict[str, np.ndarray]:
    """The filter of each block [t, t], of sum 1, from the argument 'resample_kernel'.

    Raises:
        CheckpointError: it is no filter.
    """
    taps = _read_taps(generator.arguments.get("resample_kernel", [1, 3, 3, 1]))
    with np.errstate(over="ignore", invalid="ignore"):
        kernel = np.outer(taps, taps) if taps.ndim == 1 else taps
        total = float(kernel.sum())
    if not 0 < total < math.inf:
        raise CheckpointError(f"not supported: resample_kernel sums to {total:.4g}")
    kernel = (kernel / total).astype(np.float32)
    return {name: kernel.copy() for name in config.filter_names}


def _read_taps(value: Any) -> np.ndarray:
    """The filter as its file gives it, [t] or [t, t]."""
    if value is None:
        return np.ones(2)  # nearest neighbour
    if type(value) is PickledArray and value.array.dtype.kind in "fiu":
        taps = value.array.astype(np.float64)
    elif type(value) in (list, tuple) and all(type(tap) in (int, float) for tap in value):
        taps = np.array([float(tap) for tap in value])
    else:
        raise CheckpointError(f"not supported: resample_kernel is {quote(value)}")
    if taps.ndim not in (1, 2) or not 0 < max(taps.shape) <= MAX_FILTER_TAPS:
        raise CheckpointError(f"not supported: resample_kernel has shape {list(taps.shape)}")
    return taps


def _tell_architecture(generator: TensorFlowGenerator) -> str:
    """'skip' has a ToRGB in every block, 'resnet' a Skip in every one but the first."""
    if generator.has("/Skip/weight"):
        return "resnet"
    in_first = f"{generator.blocks[0]}/ToRGB/"
    return "skip" if any(name.startswith(in_first) for name in generator.variables) else "orig"


def _count_fp16_res(generator: TensorFlowGenerator) -> int:
    count = generator.arguments.get("num_fp16_res", 0)
    if type(count) is not int or count < 0:
        raise CheckpointError(
            f"num_fp16_res is {quote(count)} in static_kwargs, expected 0 or more"
        )
    return min(count, len(generator.blocks) - 1)  # the first block is never half
