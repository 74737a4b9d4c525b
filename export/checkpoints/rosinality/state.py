"""One state dict of rosinality's stylegan2-pytorch as the configuration and tensors of a StyleGAN2.

It is the same network under other names (k = 1, 2, ... is a block's number, R = 4 << k; dimensions
of 1 come and go; n counts the layers):

    style.{i + 1}                             mapping.fc{i}
    input.input                               synthesis.b4.const
    conv1, to_rgb1                            synthesis.b4.{conv1, torgb}
    convs.{2k - 2}, .{2k - 1}, to_rgbs.{k - 1}    synthesis.bR.{conv0, conv1, torgb}
      .conv.weight, .conv.modulation              .weight, .affine
      .noise.weight, .activate.bias               .noise_strength, .bias
      .conv.blur.kernel                           .resample_filter of the block, times 4
      .upsample.kernel                            .torgb.resample_filter, where it differs
    noises.noise_{n}                          .noise_const

There, the 3x3 weights are scaled by 1/sqrt(fan-in) before they are brought to unit norm. That all
but cancels: it moves the 1e-8 under the root, which counts where a channel is nearly dead. So the
scale becomes a part of our weights.
"""

from __future__ import annotations

import math

import numpy as np

from stylert.export.checkpoints.configs.blocks import MAX_BLOCKS
from stylert.export.checkpoints.configs.config import MAX_MAPPING_LAYERS
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.quoting import quote_some
from stylert.export.checkpoints.validation import check_names, check_same_sizes
from stylert.runtime.errors import CheckpointError

__all__ = ["KERNEL_SUM", "note_missing", "read_state_config", "read_state_tensors"]

NOISE_SEED = 0
_USUAL_TAPS = np.array([1, 3, 3, 1], np.float32)
KERNEL_SUM = 4.0  # of the kernels, which hold the gain of the upsampling, too


def read_state_config(state: Modules, *, lr_multiplier: float) -> StyleGAN2Config:
    """The configuration that the tensors' names and shapes tell.

    Args:
        state: the tensors, which have no modules here.
        lr_multiplier: of the mapping network, which they do not tell.

    Raises:
        CheckpointError: a tensor is missing, or has another number of dimensions.
    """
    layers = state.count("style.{}.weight", range(1, MAX_MAPPING_LAYERS + 1))
    blocks = 1 + state.count("to_rgbs.{}.conv.weight", range(MAX_BLOCKS - 1))
    if blocks == 1:
        raise CheckpointError("to_rgbs.0.conv.weight is missing")
    mapping_features, z_dim = state.find_shape("style.1.weight", 2)
    *_, height, width = state.find_shape("input.input", 4)
    convs = ["conv1", *(f"convs.{2 * k - 1}" for k in range(1, blocks))]
    return StyleGAN2Config(
        z_dim=z_dim,
        c_dim=0,
        w_dim=state.find_shape(f"style.{layers}.weight", 2)[0],
        img_channels=state.find_shape("to_rgb1.conv.weight", 5)[1],
        const_shape=(height, width),
        channels=tuple(state.find_shape(f"{conv}.conv.weight", 5)[1] for conv in convs),
        mapping_layers=layers,
        mapping_features=mapping_features,
        mapping_lr_multiplier=lr_multiplier,
        own_image_filter=_has_two_filters(state, blocks),
    )


def note_missing(state: Modules) -> tuple[str, ...]:
    """What takes the place of buffers that are not there, and what is there beside the generator.

    The first files of 2019 and 2020 have no noise constants; those that were pruned, no filters.
    """
    notes = []
    if not _has_noise(state):
        notes.append(
            f"the file has no noise constants: normal noise of seed {NOISE_SEED} takes their place"
        )
    if not _has_kernels(state):
        notes.append("the file has no filters: [1, 3, 3, 1], the usual one, takes their place")
    if extra := _list_extra(state):
        notes.append(f"beside the generator the state dict has {quote_some(extra)}, ignored")
    return tuple(notes)


def _has_noise(state: Modules) -> bool:
    return any(name.startswith("noises.") for name in state.tensors)


def _has_kernels(state: Modules) -> bool:
    return any(name.endswith(".kernel") for name in state.tensors)


def _list_extra(state: Modules) -> list[str]:
    """Tensors of no module, which wrappers add ('mean_latent', 'n_latent')."""
    return [name for name in state.tensors if "." not in name]


def read_state_tensors(state: Modules, config: StyleGAN2Config) -> dict[str, np.ndarray]:
    """All tensors as float32 under their StyleGAN2 names, but 'mapping.w_avg'.

    See `note_missing` for what takes the place of missing buffers.

    Raises:
        CheckpointError: a tensor is missing, is not known, or has another shape.
    """
    names = _list_names(config)
    kernels = _list_kernels(len(config.channels)) if _has_kernels(state) else []
    shapes = {name: shape for name, shape in config.list_shapes().items() if name in names}
    filled: dict[str, np.ndarray] = {}
    if not _has_noise(state):
        random = np.random.RandomState(NOISE_SEED)
        for name in [name for name in names if name.endswith(".noise_const")]:
            filled[name] = random.randn(*shapes.pop(name)).astype(np.float32)
    expected = {names[name] for name in shapes} | {name for pair in kernels for name in pair}
    there = sorted(state.tensors.keys() - _list_extra(state))
    check_names(there, sorted(expected), "rosinality's StyleGAN2")
    for name, shape in shapes.items():
        check_same_sizes(names[name], state.tensors[names[name]].shape, shape)
    tensors = {
        name: _scale(name, state.read(names[name]).reshape(shape)) for name, shape in shapes.items()
    }
    filters = _read_filters(state, kernels, config)
    return tensors | filled | dict(zip(config.filter_names, filters, strict=True))


def _list_names(config: StyleGAN2Config) -> dict[str, str]:
    """Our name of each tensor, and that in the file."""
    names = {"synthesis.b4.const": "input.input"}
    for i in range(config.mapping_layers):
        for leaf in ("weight", "bias"):
            names[f"mapping.fc{i}.{leaf}"] = f"style.{i + 1}.{leaf}"
    for k, block in enumerate(config.block_names):
        convs = {"conv0": f"convs.{2 * k - 2}", "conv1": f"convs.{2 * k - 1}"}
        number = 2 * k - 1  # of the block's first layer
        if k == 0:
            convs, number = {"conv1": "conv1"}, 0
        for i, (ours, theirs) in enumerate(convs.items()):
            layer = f"synthesis.{block}.{ours}"
            names |= _name_modulated(layer, theirs)
            names[f"{layer}.bias"] = f"{theirs}.activate.bias"
            names[f"{layer}.noise_strength"] = f"{theirs}.noise.weight"
            names[f"{layer}.noise_const"] = f"noises.noise_{number + i}"
        layer, theirs = f"synthesis.{block}.torgb", f"to_rgbs.{k - 1}" if k else "to_rgb1"
        names |= _name_modulated(layer, theirs)
        names[f"{layer}.bias"] = f"{theirs}.bias"
    return names


def _name_modulated(ours: str, theirs: str) -> dict[str, str]:
    """The convolution's weight and the affine layer that makes its styles."""
    return {
        f"{ours}.weight": f"{theirs}.conv.weight",
        f"{ours}.affine.weight": f"{theirs}.conv.modulation.weight",
        f"{ours}.affine.bias": f"{theirs}.conv.modulation.bias",
    }


def _list_kernels(blocks: int) -> list[tuple[str, str]]:
    """Names of the filters of every block from b8 on: of its convolution, and of the image.

    They are alike, unless the training had a `blur_kernel`, which is the convolutions' alone.
    """
    return [
        (f"convs.{2 * k}.conv.blur.kernel", f"to_rgbs.{k}.upsample.kernel")
        for k in range(blocks - 1)
    ]


def _has_two_filters(state: Modules, blocks: int) -> bool:
    pairs = [pair for pair in _list_kernels(blocks) if state.tensors.keys() >= {*pair}]
    return not all(np.array_equal(state.read(conv), state.read(image)) for conv, image in pairs)


def _scale(name: str, tensor: np.ndarray) -> np.ndarray:
    """The weights of the 3x3 convolutions [O, I, 3, 3] with their scale, others as they are."""
    if tensor.ndim != 4 or not name.endswith(("conv0.weight", "conv1.weight")):
        return tensor
    with np.errstate(invalid="ignore"):  # NaN is found later
        tensor *= np.float32(1 / math.sqrt(math.prod(tensor.shape[1:])))
    return tensor


def _read_filters(
    state: Modules, kernels: list[tuple[str, str]], config: StyleGAN2Config
) -> list[np.ndarray]:
    """The filters in the order of `config.filter_names`, of sum 1."""
    if not kernels:
        return [np.outer(_USUAL_TAPS, _USUAL_TAPS) / np.float32(64)] * len(config.filter_names)
    convs, images = (
        [state.read(name) / np.float32(KERNEL_SUM) for name in side]
        for side in zip(*kernels, strict=True)
    )
    return [convs[0], *convs, *(images if config.own_image_filter else ())]  # b4 uses none
