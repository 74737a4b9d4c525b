"""Files of lucidrains' stylegan2_pytorch -> `Checkpoint`.

A file of torch.save has the state dict of the whole training under 'GAN', or is it. GE is the
average generator and SE its mapping network; G and S are those in training. Of what a generator is
made with, the tensors do not tell one number, the mapping network's learning rate multiplier: the
file '.config.json' beside them does.

What it computes is a StyleGAN2's but for its layers (see `configs.lucidrains`). Dense layers have
no factor 1/sqrt(fan-in), the mapping network's activation has no gain of sqrt(2), and its latent
has length 1, not a mean square of 1. These factors become a part of our weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.configs.config import MAX_MAPPING_LAYERS
from stylert.export.checkpoints.configs.lucidrains import LucidrainsConfig
from stylert.export.checkpoints.containers import note_no_average
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.rosinality.average_latent import average_latents, tell_average
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some, suggest_networks
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.state_dicts import as_tensor
from stylert.export.checkpoints.validation import (
    check_names,
    check_same_sizes,
    check_shapes,
    check_size,
    check_values,
)
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.json_files import read_json
from stylert.runtime.noise import UNIFORM, draw_noise

__all__ = ["LUCIDRAINS_MARK", "is_lucidrains", "read_lucidrains"]

OPTIONS = ".config.json"  # beside the file, with the options of the training
_LATENTS = 2000  # whose mean is the average w, as in the package
_NOISE_SEED = 0
_LR_MULTIPLIER = 0.1  # of the mapping network, unless the options say otherwise
LUCIDRAINS_MARK = "blocks.0.to_style1.weight"  # every generator has it
_MAPPINGS = {"GE": "SE", "G": "S"}  # of each generator
_MAX_BLOCKS = 10  # 2048 pixels: a file of more would ask for a map of noise far above its own size


@dataclass(frozen=True)
class _Generator:
    """Where a generator is in a file."""

    holder: Any  # the key of its dict, None for the outermost dict
    prefix: str  # of all names of the training, usually ''
    name: str  # 'GE', 'G', or '' for a generator without its mapping network
    tensors: Mapping[Any, Any]

    @property
    def mapping(self) -> str:
        """What its mapping network is called."""
        return _MAPPINGS[self.name]


def is_lucidrains(value: Any) -> bool:
    """Whether a value has a generator with the names of stylegan2_pytorch."""
    return any(True for _ in _list_generators(value))


def read_lucidrains(value: Any, network: str | None, source: Source, *, folder: Path) -> Checkpoint:
    """Read one generator of a value for which `is_lucidrains` holds.

    Args:
        value: of a file of torch.save.
        network: 'GE' or 'G', None = the average one.
        source: the file, whose size bounds what its tensors may claim.
        folder: that of the file, where the options of the training may be.

    Raises:
        CheckpointError: there is no such generator, or it is none that is supported.
    """
    generators = {found.name: found for found in _list_generators(value)}
    name = network if network is not None else next(n for n in ("GE", "G", "") if n in generators)
    if name not in generators:
        there = f"{quote_some(generators)}{suggest_networks(filter(None, generators))}"
        raise CheckpointError(f"no network {quote(name)} in the file; it has {there}")
    if not name:
        raise CheckpointError(
            "the generator is there without its mapping network (SE.net.0.weight, ...); save the "
            "state_dict() of both, as the package's own files have it"
        )
    chosen = generators[name]
    state = _read_state(chosen)
    check_size(state.num_elements, source)
    config = _read_config(state, chosen)
    lr_multiplier, note = _read_options(folder, config)
    config = replace(config, mapping_lr_multiplier=lr_multiplier)
    tensors = _read_tensors(state, config, chosen)
    noise = draw_noise(np.random.RandomState(_NOISE_SEED), UNIFORM, config.img_shape)
    tensors["synthesis.noise_const"] = noise.astype(np.float32)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    check_shapes(config, shapes | {"mapping.w_avg": (config.w_dim,)})
    check_values(tensors)
    tensors["mapping.w_avg"] = average_latents(config, tensors, count=_LATENTS)
    notes = [
        note,
        f"the file has no average w: {tell_average(_LATENTS)}",
        (
            "the network was trained with new noise in each picture: uniform noise of seed "
            f"{_NOISE_SEED} is its constant noise"
        ),
        _note_rest(value, chosen),
    ]
    if network is None and name != "GE":
        notes.append(note_no_average(name))
    return Checkpoint(
        config=config,
        tensors=tensors,
        source=replace(source, format="lucidrains stylegan2_pytorch .pt", network=name),
        notes=tuple(note for note in notes if note),
    )


# ---- Finding a generator -----------------------------------------------------------------------


def _list_generators(value: Any) -> Iterator[_Generator]:
    """The generators in a value, or in the dicts right in it."""
    holders = [(None, value), *(value.items() if type(value) is dict else ())]
    for holder, tensors in holders:
        for name in tensors if type(tensors) is dict else ():
            if type(name) is not str or not f".{name}".endswith(f".{LUCIDRAINS_MARK}"):
                continue
            before = name.removesuffix(LUCIDRAINS_MARK)
            network = next((n for n in _MAPPINGS if f".{before}".endswith(f".{n}.")), "")
            prefix = before.removesuffix(f"{network}.") if network else before
            yield _Generator(holder, prefix, network, tensors)


def _read_state(generator: _Generator) -> Modules:
    """The tensors of the generator and of its mapping network, without the prefix."""
    parts = (f"{generator.mapping}.", f"{generator.name}.")
    tensors: dict[str, Tensor] = {}
    for name, tensor in generator.tensors.items():
        short = name.removeprefix(generator.prefix) if type(name) is str else ""
        if short.startswith(parts):
            tensors[short] = as_tensor(name, tensor)
    return Modules(tensors=tensors)


def _note_rest(value: dict[Any, Any], chosen: _Generator) -> str:
    """What else is in the file."""
    parts = [
        name.removeprefix(chosen.prefix).partition(".")[0]
        for name in chosen.tensors
        if type(name) is str
    ]
    used = (chosen.name, chosen.mapping)
    beside = [key for key in value if key not in (chosen.holder, "version")]
    rest = [part for part in dict.fromkeys(parts) if part not in used]
    rest += beside if chosen.holder is not None else []
    return f"beside {quote(used[0])} the file has {quote_some(rest)}, not exported" if rest else ""


# ---- The architecture --------------------------------------------------------------------------


def _read_config(state: Modules, chosen: _Generator) -> LucidrainsConfig:
    """What the names and shapes of the tensors tell."""
    net, g = f"{chosen.mapping}.net", chosen.name
    latent = state.find_shape(f"{net}.0.weight", 2)[1]
    blocks = max(1, state.count(f"{g}.blocks.{{}}.conv2.weight", range(_MAX_BLOCKS + 1)))
    if blocks > _MAX_BLOCKS:
        raise CheckpointError(
            f"not supported: more than {_MAX_BLOCKS} blocks, which make {4 << blocks - 2} pixels"
        )
    convs = [state.find_shape(f"{g}.blocks.{i}.conv2.weight", 4) for i in range(blocks)]
    attends = [f"{g}.attns.{i}.0.fn.fn.to_q.weight" in state.tensors for i in range(blocks)]
    return LucidrainsConfig(
        z_dim=latent,
        c_dim=0,
        w_dim=latent,
        img_channels=state.find_shape(f"{g}.blocks.0.to_rgb.conv.weight", 4)[0],
        const_shape=(4, 4),
        channels=tuple(shape[0] for shape in convs),
        mapping_layers=state.count(f"{net}.{{}}.weight", range(0, 2 * MAX_MAPPING_LAYERS, 2)),
        mapping_features=latent,
        mapping_lr_multiplier=_LR_MULTIPLIER,
        learned_const=f"{g}.initial_block" in state.tensors,
        attention=tuple(f"b{4 << i}" for i in range(blocks) if attends[i]),
    )


def _read_options(folder: Path, config: LucidrainsConfig) -> tuple[float, str]:
    """The mapping network's learning rate multiplier, and a note where it is assumed."""
    assumed = f"lr_mlp {_LR_MULTIPLIER:g}, the package's default, was assumed"
    if not (folder / OPTIONS).is_file():  # a pipe would be waited for
        return _LR_MULTIPLIER, f"there is no {OPTIONS} beside the file: {assumed}"
    try:
        options = read_json(folder / OPTIONS, most=2**16)
    except (OSError, ValueError):
        return _LR_MULTIPLIER, f"the {OPTIONS} beside the file cannot be read: {assumed}"
    told = options if type(options) is dict else {}
    size, lr = told.get("image_size"), told.get("lr_mlp", _LR_MULTIPLIER)
    if size != config.img_shape[0] or type(lr) not in (int, float) or not 0 < lr < math.inf:
        return _LR_MULTIPLIER, f"the {OPTIONS} beside the file is of another network: {assumed}"
    return float(lr), f"lr_mlp {lr:g} is that of the {OPTIONS} beside the file"


# ---- The tensors -------------------------------------------------------------------------------


def _read_tensors(
    state: Modules, config: LucidrainsConfig, chosen: _Generator
) -> dict[str, np.ndarray]:
    """All tensors under our names, but those which no file has."""
    names = {
        name: f"{chosen.mapping if name.startswith('mapping.') else chosen.name}.{theirs}"
        for name, theirs in _list_names(config).items()
    }
    count = len(config.channels) - 1
    blurs = [f"{chosen.name}.blocks.{i}.to_rgb.upsample.1.f" for i in range(count)]
    check_names(sorted(state.tensors), [*names.values(), *blurs], "stylegan2_pytorch")
    for blur in blurs:
        taps = state.read(blur).ravel()
        if not np.array_equal(taps, [1, 2, 1]):
            got = quote(str(taps.tolist()))
            raise CheckpointError(f"not supported: {blur}: got {got}, expected [1, 2, 1]")
    tensors = {}
    for name, shape in config.list_shapes().items():
        if name in names:
            tensor = _take_half(name, state.read(names[name]))
            check_same_sizes(names[name], tensor.shape, shape)
            tensors[name] = _scale(name, np.ascontiguousarray(tensor.reshape(shape)), config)
    return tensors


def _list_names(config: LucidrainsConfig) -> dict[str, str]:
    """Our name of each tensor, and that in its network of the file."""
    names = {
        "synthesis.start.const": "initial_block",
        "synthesis.start.project.weight": "to_initial_block.weight",
        "synthesis.start.conv": "initial_conv",
    }
    del names[f"synthesis.start.{'project.weight' if config.learned_const else 'const'}"]
    for i in range(config.mapping_layers):
        names[f"mapping.fc{i}"] = f"net.{2 * i}"
    for i, block in enumerate(config.block_names):
        ours, theirs = f"synthesis.{block}", f"blocks.{i}"
        for j in (0, 1):
            names[f"{ours}.conv{j}.weight"] = f"{theirs}.conv{j + 1}.weight"
            names[f"{ours}.conv{j}.affine"] = f"{theirs}.to_style{j + 1}"
            names[f"{ours}.conv{j}.noise_strength"] = f"{theirs}.to_noise{j + 1}.weight"
            names[f"{ours}.conv{j}.bias"] = f"{theirs}.to_noise{j + 1}.bias"
        names[f"{ours}.torgb.weight"] = f"{theirs}.to_rgb.conv.weight"
        names[f"{ours}.torgb.affine"] = f"{theirs}.to_rgb.to_style"
        if block in config.attention:
            names |= _list_attention_names(ours, f"attns.{i}")
    shapes = config.list_shapes()
    whole = {name: theirs for name, theirs in names.items() if name in shapes}
    layers = {
        f"{name}.{leaf}": f"{theirs}.{leaf}"
        for name, theirs in names.items()
        for leaf in ("weight", "bias")
        if name not in shapes
    }
    return whole | layers


def _list_attention_names(ours: str, theirs: str) -> dict[str, str]:
    """The same for an attention layer and what is behind it."""
    first, second = f"{theirs}.0.fn", f"{theirs}.1.fn"
    return {
        f"{ours}.attention.norm.weight": f"{first}.norm.g",
        f"{ours}.attention.norm.bias": f"{first}.norm.b",
        f"{ours}.attention.near.weight": f"{first}.fn.to_kv.net.0.weight",
        f"{ours}.attention.queries.weight": f"{first}.fn.to_q.weight",
        f"{ours}.attention.keys.weight": f"{first}.fn.to_kv.net.1.weight",
        f"{ours}.attention.values.weight": f"{first}.fn.to_kv.net.1.weight",
        f"{ours}.attention.out": f"{first}.fn.to_out",
        f"{ours}.feedforward.norm.weight": f"{second}.norm.g",
        f"{ours}.feedforward.norm.bias": f"{second}.norm.b",
        f"{ours}.feedforward.wide": f"{second}.fn.0",
        f"{ours}.feedforward.narrow": f"{second}.fn.2",
    }


def _take_half(name: str, tensor: np.ndarray) -> np.ndarray:
    """Of the keys and values, which are one tensor in the file, those that are meant."""
    if name.endswith((".keys.weight", ".values.weight")) and tensor.ndim:
        keys, values = np.array_split(tensor, 2)
        return keys if name.endswith(".keys.weight") else values
    return tensor


def _scale(name: str, tensor: np.ndarray, config: LucidrainsConfig) -> np.ndarray:
    """A tensor with the factors and terms that our layers take out of it."""
    if name.endswith(".affine.bias"):
        return tensor + np.float32(1)
    factor = 1.0
    if name.endswith(".affine.weight"):
        factor = math.sqrt(config.w_dim)
    elif re.fullmatch(r"mapping\.fc0\.weight|mapping\.fc\d+\.bias", name):
        factor = math.sqrt(1 / 2)  # the latent is by sqrt(fan-in) shorter than ours
    elif name.startswith("mapping."):
        factor = math.sqrt(tensor.shape[1] / 2)
    with np.errstate(all="ignore"):  # NaN is found later
        scaled: np.ndarray = (tensor * np.float64(factor)).astype(np.float32)
    return scaled
