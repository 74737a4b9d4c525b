"""StyleGAN2 under genforce's and mmgeneration's names: the same network, renamed into rosinality's.

    genforce                                      rosinality
    mapping.dense{i}                              style.{i + 1}
    truncation.w_avg                              latent_avg
    synthesis.early_layer.const                   input.input
    synthesis.layer{n}, .output{k}                conv1, convs.{n - 1}; to_rgb1, to_rgbs.{k - 1}
      .weight, .style, .bias                        .conv.weight, .conv.modulation, .activate.bias
      .noise_strength, .noise                       .noise.weight, noises.noise_{n}
      .filter.kernel                                .conv.blur.kernel
    synthesis.upsample.kernel                     to_rgbs.{k}.upsample.kernel

genforce adds the 1 of the styles' biases at run time, and keeps the weights of its up-convolutions
(odd n) turned by 180 degrees.

    mmgeneration                                  rosinality
    style_mapping.{i}.{linear.weight_orig, bias}  style.{i}.{weight, bias}
    constant_input.input                          input.input
      .conv.weight_orig                             .conv.weight
      .conv.style_modulation.linear.weight_orig     .conv.modulation.weight
      .conv.style_modulation.bias                   .conv.modulation.bias
      .noise_injector.weight                        .noise.weight
    injected_noise_{n}                            noises.noise_{n}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.rosinality.state import KERNEL_SUM
from stylert.export.checkpoints.rosinality.state_dicts import (
    AVERAGE,
    is_rosinality,
    read_state_dicts,
)
from stylert.export.checkpoints.safe_pickle.allow_list import PickledObject
from stylert.export.checkpoints.safe_pickle.storages import Tensor, compute_tensor
from stylert.runtime.errors import CheckpointError

__all__ = ["read_renamed", "rename_genforce", "rename_mmgeneration"]

Tensors = dict[str, Tensor]
Change = Callable[[np.ndarray], np.ndarray]

_MMGENERATION = (
    (r"^style_mapping\.(\d+)\.linear\.weight_orig$", r"style.\1.weight"),
    (r"^style_mapping\.(\d+)\.bias$", r"style.\1.bias"),
    (r"^constant_input\.input$", "input.input"),
    (r"^injected_noise_(\d+)$", r"noises.noise_\1"),
    (r"\.style_modulation\.linear\.weight_orig$", ".modulation.weight"),
    (r"\.style_modulation\.bias$", ".modulation.bias"),
    (r"\.conv\.weight_orig$", ".conv.weight"),
    (r"\.noise_injector\.weight$", ".noise.weight"),
)


def read_renamed(tensors: Tensors, mapping_lr: float | None, source: Source) -> Checkpoint:
    """Read tensors with rosinality's names.

    Args:
        tensors: what one of the functions here gave.
        mapping_lr: the multiplier of the mapping network's learning rate, None = 0.01.
        source: the file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: a tensor is missing, is not known, or has another shape.
    """
    state = {name: tensor for name, tensor in tensors.items() if name != AVERAGE}
    arguments = PickledObject("Namespace")
    arguments.build({"lr_mlp": mapping_lr})
    value = {"g_ema": state, AVERAGE: tensors.get(AVERAGE), "args": arguments}
    if not is_rosinality(value):
        raise CheckpointError("the first convolution's weight is missing")
    try:
        checkpoint = read_state_dicts(value, None, source)
    except CheckpointError as error:
        raise CheckpointError(f"{error} (by rosinality's names, which its tensors got)") from None
    lr = checkpoint.config.mapping_lr_multiplier
    notes = [note for note in checkpoint.notes if not note.startswith("beside ")]
    notes.insert(
        0, f"the learning rate of the mapping network is not told, and is taken to be {lr:g}"
    )
    return replace(checkpoint, notes=tuple(notes))


def rename_mmgeneration(tensors: Tensors, *, bgr: bool) -> Tensors:
    """The tensors of a StyleGAN2 of mmgeneration or mmagic.

    Args:
        tensors: by their names there.
        bgr: the network makes blue, green and red; the colours are turned round.
    """
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, ours in _MMGENERATION:
            new = re.sub(pattern, ours, new)
        makes_colors = re.fullmatch(r"(to_rgb1|to_rgbs\.\d+)\.(conv\.weight|bias)", new)
        # [1, C, I, 1, 1] and [1, C, 1, 1]
        renamed[new] = (
            _derive(tensor, _turn_colors, tensor.shape) if bgr and makes_colors else tensor
        )
    return renamed


def rename_genforce(tensors: Tensors) -> Tensors:
    """The tensors of a StyleGAN2 of genforce, by their names there."""
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"mapping\.dense(\d+)\.(weight|bias)", name):
            renamed[f"style.{int(match[1]) + 1}.{match[2]}"] = tensor
        elif match := re.fullmatch(r"synthesis\.(layer|output)(\d+)\.(.+)", name):
            renamed |= _rename_layer(match[1], int(match[2]), match[3], tensor)
        elif name == "synthesis.upsample.kernel":
            blocks = sum(bool(re.fullmatch(r"synthesis\.output\d+\.bias", key)) for key in tensors)
            for k in range(blocks - 1):
                renamed[f"to_rgbs.{k}.upsample.kernel"] = _derive(
                    tensor, _as_kernel, tensor.shape[-2:]
                )
        else:
            names = {"synthesis.early_layer.const": "input.input", "truncation.w_avg": AVERAGE}
            renamed[names.get(name, name)] = tensor
    return renamed


def _rename_layer(kind: str, number: int, leaf: str, tensor: Tensor) -> Tensors:
    """One tensor of a layer with noise, or of an output."""
    if kind == "layer":
        layer = f"convs.{number - 1}" if number else "conv1"
        names = {"bias": "activate.bias", "noise_strength": "noise.weight"}
    else:
        layer = f"to_rgbs.{number - 1}" if number else "to_rgb1"
        names = {"bias": "bias"}
    names |= {"weight": "conv.weight", "style.weight": "conv.modulation.weight"}
    names |= {"style.bias": "conv.modulation.bias", "filter.kernel": "conv.blur.kernel"}
    if kind == "layer" and leaf == "noise":
        return {f"noises.noise_{number}": tensor}
    if leaf == "style.bias":
        tensor = _derive(tensor, lambda bias: bias + np.float32(1), tensor.shape)
    elif leaf == "filter.kernel":
        tensor = _derive(tensor, _as_kernel, tensor.shape[-2:])
    elif leaf == "weight":
        turn = _turn_kernels if kind == "layer" and number % 2 == 1 else _keep
        tensor = _derive(tensor, turn, (1, *tensor.shape))
    return {f"{layer}.{names.get(leaf, leaf)}": tensor}


def _turn_colors(tensor: np.ndarray) -> np.ndarray:
    """Turn the colours round: they are the axis 1."""
    return tensor[:, ::-1]


def _as_kernel(kernel: np.ndarray) -> np.ndarray:
    """A filter [1, 1, t, t] as [t, t] of rosinality's sum."""
    return np.flip(kernel.reshape(kernel.shape[-2:])) * np.float32(KERNEL_SUM / kernel.sum())


def _turn_kernels(weight: np.ndarray) -> np.ndarray:
    return weight[..., ::-1, ::-1]


def _keep(tensor: np.ndarray) -> np.ndarray:
    return tensor


def _derive(tensor: Tensor, change: Change, shape: tuple[int, ...]) -> Tensor:
    """A tensor of a shape that is computed from another one when it is used."""
    return compute_tensor(lambda: change(tensor.to_float32()), shape)
