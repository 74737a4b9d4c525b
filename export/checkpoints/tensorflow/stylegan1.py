"""A StyleGAN 1 of a TensorFlow pickle: its configuration, and where its tensors come from.

    4x4/Const, 4x4/Conv, RxR/Conv0_up, RxR/Conv1      b4.conv0, b4.conv1, bR.conv0, bR.conv1
      weight, bias                                      .weight, .bias
      StyleMod/{weight, bias}                           .affine.{weight, bias}
      Noise/weight, and noise0, noise1, ...             .noise_strength, .noise_const
    ToRGB_lod0/{weight, bias}                         torgb.{weight, bias}

No kernel is flipped. The ToRGB_lod1, ... of smaller images were of use only while it grew.
"""

from __future__ import annotations

import math
from typing import Any

from stylert.export.checkpoints.configs.config import check_choice
from stylert.export.checkpoints.configs.stylegan1 import StyleGAN1Config
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.tensorflow.mapping import convert_mapping, read_mapping
from stylert.export.checkpoints.tensorflow.networks import TensorFlowGenerator
from stylert.export.checkpoints.tensorflow.variables import (
    Conversion,
    drop_leading_ones,
    to_conv,
    transpose,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["read_stylegan1", "convert_stylegan1"]

_FUSED_PIXELS = 128  # from this side on, 'auto' upsamples by a transposed convolution


def read_stylegan1(generator: TensorFlowGenerator) -> StyleGAN1Config:
    """The configuration.

    Raises:
        CheckpointError: a variable is missing, an argument is not supported, or the network was
            saved before it was fully grown.
    """
    _refuse_growing(generator)
    blocks = generator.blocks
    const = generator.find_shape(f"{blocks[0]}/Const/const", 4)
    channels = [const[1], *(generator.find_shape(f"{b}/Conv1/bias", 1)[0] for b in blocks[1:])]
    fields = read_mapping(generator)
    check_choice("mapping_activation", fields["mapping_activation"], ("lrelu", "relu"))
    return StyleGAN1Config(
        **fields,
        img_channels=generator.find_shape("synthesis/ToRGB_lod0/bias", 1)[0],
        const_shape=(const[2], const[3]),
        channels=tuple(channels),
        activation=generator.arguments.get("nonlinearity", "lrelu"),
        use_noise=generator.has("/Noise/weight"),
        fused_from=_find_fused_from(generator.arguments.get("fused_scale", "auto"), const[2:]),
    )


def convert_stylegan1(
    generator: TensorFlowGenerator, config: StyleGAN1Config
) -> dict[str, Conversion]:
    """The variable of each tensor, and its layout."""
    # The gain of the activation is inside the weights of StyleGAN 1, but not on its biases.
    conversions = convert_mapping(config, bias_factor=1 / math.sqrt(2))
    conversions["synthesis.b4.const"] = Conversion(
        f"{generator.blocks[0]}/Const/const", drop_leading_ones(1)
    )
    for i, (block, scope) in enumerate(zip(config.block_names, generator.blocks, strict=True)):
        layers = ("Conv0_up", "Conv1") if i else ("Const", "Conv")
        for j, (layer, variables) in enumerate(zip(("conv0", "conv1"), layers, strict=True)):
            name, variable = f"synthesis.{block}.{layer}", f"{scope}/{variables}"
            if variables != "Const":
                conversions[f"{name}.weight"] = Conversion(f"{variable}/weight", to_conv)
            conversions[f"{name}.bias"] = Conversion(f"{variable}/bias")
            style = f"{variable}/StyleMod"
            conversions[f"{name}.affine.weight"] = Conversion(f"{style}/weight", transpose)
            conversions[f"{name}.affine.bias"] = Conversion(f"{style}/bias")
            if config.use_noise:
                noise = Conversion(f"synthesis/noise{2 * i + j}", drop_leading_ones(2))
                conversions[f"{name}.noise_const"] = noise
                conversions[f"{name}.noise_strength"] = Conversion(f"{variable}/Noise/weight")
    conversions["synthesis.torgb.weight"] = Conversion("synthesis/ToRGB_lod0/weight", to_conv)
    conversions["synthesis.torgb.bias"] = Conversion("synthesis/ToRGB_lod0/bias")
    return conversions


def _refuse_growing(generator: TensorFlowGenerator) -> None:
    """With 'lod' above 0 the image comes from smaller blocks, unless the structure is fixed."""
    for name in ("lod", "synthesis/lod"):  # the generator's own is the one that counts
        if name not in generator.variables:
            continue
        lod = generator.variables[name]
        if lod.shape != () or (not lod <= 0 and generator.arguments.get("structure") != "fixed"):
            raise CheckpointError(
                f"not supported: progressive growing had not finished (lod is {lod.tolist()!s:.40}"
                ", expected 0): take a later snapshot"
            )
        return


def _find_fused_from(fused_scale: Any, const_shape: tuple[int, ...]) -> int:
    """The resolution of the first block that upsamples by a transposed convolution."""
    if type(fused_scale) is bool:
        return 1 if fused_scale else 2**16
    if fused_scale != "auto":
        raise CheckpointError(
            f"not supported: fused_scale {quote(fused_scale)}, expected auto, True, False"
        )
    return math.ceil(4 * _FUSED_PIXELS / max(min(const_shape), 1))
