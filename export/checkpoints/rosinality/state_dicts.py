"""Files of rosinality's stylegan2-pytorch, and of all that is built on it, -> `Checkpoint`.

A generator is found by the names of its tensors: as 'g_ema' and 'g' of the training and of the
converters, as 'decoder.*' of pSp, e4e, ReStyle and HyperStyle, as 'generator.*', or bare. What else
is in the file is left out, and named in a note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.containers import (
    ALONE,
    is_network_name,
    note_no_average,
    pick_average,
)
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.rosinality.average_latent import average_latents, tell_average
from stylert.export.checkpoints.rosinality.lookalikes import refuse_dual_styles, refuse_look_alikes
from stylert.export.checkpoints.rosinality.state import (
    note_missing,
    read_state_config,
    read_state_tensors,
)
from stylert.export.checkpoints.safe_pickle.allow_list import PickledObject
from stylert.export.checkpoints.safe_pickle.arrays import PickledArray
from stylert.export.checkpoints.safe_pickle.foreign import refuse_foreign
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some, suggest_networks
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.state_dicts import WRAPPERS, as_tensor
from stylert.export.checkpoints.validation import check_shapes, check_size, check_values
from stylert.runtime.errors import CheckpointError

__all__ = ["AVERAGE", "ROSINALITY_MARK", "is_rosinality", "read_state_dicts"]

_DEFAULTS = ("g_ema", "decoder", ALONE)
_MAX_GENERATORS = 16
_SILENT = ("", *WRAPPERS)  # parts of a prefix that say nothing
_MAX_DICTS = 256  # that are looked into: one dict may stand under a great many keys
_LR_MULTIPLIER = 0.01  # of the mapping network, unless the arguments of the training say otherwise
ROSINALITY_MARK = "input.input"  # every generator has these two tensors
_FIRST = "conv1.conv.weight"
AVERAGE = "latent_avg"


@dataclass(frozen=True)
class _Generator:
    """Where a generator is in a file."""

    holder: str  # the key of its dict, '' for the outermost dict
    prefix: str  # of its names in that dict, with the dot
    dict: dict[Any, Any]

    @property
    def name(self) -> str:
        """What a user calls it."""
        parts = self.prefix.split(".")
        inner = ".".join(part for part in parts if part not in _SILENT)
        outer = "" if self.holder == "state_dict" else self.holder
        return ".".join(part for part in (outer, inner) if part) or ALONE

    @property
    def format(self) -> str:
        """What kind of file it is in."""
        if self.name == "decoder":
            return "pSp/e4e .pt"
        return "rosinality .pt" if self.name in ("g_ema", "g") else "rosinality state dict .pt"


def is_rosinality(value: Any) -> bool:
    """Whether a value has a generator with rosinality's names."""
    return bool(_find_generators(value))


def read_state_dicts(value: Any, network: str | None, source: Source) -> Checkpoint:
    """Read one generator of a value for which `is_rosinality` holds.

    Args:
        value: The value of a file of torch.save.
        network: Which generator to read, None = the average one or the only one.
        source: The file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: there is no such generator, or it is none that is supported.
    """
    generators = _find_generators(value)
    chosen = _choose_generator(generators, network)
    if network is None:
        refuse_dual_styles(chosen.dict, chosen.name)
    state = _read_state(chosen)
    refuse_look_alikes({name: tensor.shape for name, tensor in state.tensors.items()})
    average = state.tensors.pop(AVERAGE, None)
    if average is None and (chosen.name == "g_ema" or "g_ema" not in generators):
        average = value.get(AVERAGE)  # it is the average generator's
    check_size(state.num_elements, source)
    config = read_state_config(state, lr_multiplier=_find_lr_multiplier(value))
    tensors = read_state_tensors(state, config)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    check_shapes(config, shapes | {"mapping.w_avg": (config.w_dim,)})
    check_values(tensors)
    w_avg, note = _read_average(average, config.w_dim)
    tensors["mapping.w_avg"] = average_latents(config, tensors) if w_avg is None else w_avg
    check_values({"mapping.w_avg": tensors["mapping.w_avg"]})
    remarks = [note, *note_missing(state), _note_rest(value, chosen)]
    if network is None and chosen.name not in (*_DEFAULTS, *pick_average(generators)):
        remarks.append(note_no_average(chosen.name))
    if config.const_shape != (4, 4):
        remarks.append("the image is {} pixels high and {} wide".format(*config.img_shape))
    return Checkpoint(
        config=config,
        tensors=tensors,
        source=replace(source, format=chosen.format, network=chosen.name),
        notes=tuple(remark for remark in remarks if remark),
    )


# Finding a generator.


def _find_generators(value: Any) -> dict[str, _Generator]:
    """The generators in a value, or in the dicts right in it, by name."""
    if type(value) is not dict:
        return {}
    dicts = ((key, inner) for key, inner in value.items() if type(inner) is dict)
    found: dict[str, _Generator] = {}
    for holder, tensors in ("", value), *islice(dicts, _MAX_DICTS):
        if type(holder) is not str:
            continue
        for name in tensors:
            if type(name) is not str or not f".{name}".endswith(f".{ROSINALITY_MARK}"):
                continue
            generator = _Generator(holder, name.removesuffix(ROSINALITY_MARK), tensors)
            named = is_network_name(generator.name) and len(found) < _MAX_GENERATORS
            if named and f"{generator.prefix}{_FIRST}" in tensors:
                found[generator.name] = generator
    return found


def _choose_generator(generators: dict[str, _Generator], network: str | None) -> _Generator:
    there = quote_some(generators, _MAX_GENERATORS)
    if network is None:
        likely = [name for name in _DEFAULTS if name in generators] or pick_average(generators)
        if not likely and len(generators) > 1:
            raise CheckpointError(
                f"the file has several generators: choose one of {there}"
                f"{suggest_networks(generators)}"
            )
        network = (likely or list(generators))[0]
    if network not in generators:
        raise CheckpointError(
            f"no network {quote(network)} in the file; it has {there}{suggest_networks(generators)}"
        )
    return generators[network]


def _read_state(generator: _Generator) -> Modules:
    """The generator's tensors, without the prefix."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in generator.dict.items():
        if type(name) is not str or not name.startswith(generator.prefix):
            continue
        refuse_foreign(tensor, quote(name))
        # Others are 'opts' and the like, beside the tensors of a bare state dict.
        if type(tensor) in (Tensor, PickledArray) or "." in name:
            tensors[name.removeprefix(generator.prefix)] = as_tensor(name, tensor)
    return Modules(tensors=tensors)


# What the tensors do not tell.


def _find_lr_multiplier(value: dict[Any, Any]) -> float:
    """From the arguments of the training, which most versions leave at its default."""
    arguments = value.get("args")
    given = arguments.state if type(arguments) is PickledObject else None
    lr = given.get("lr_mlp") if type(given) is dict else None
    if not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
        return _LR_MULTIPLIER
    return float(lr)


def _read_average(average: Any, w_dim: int) -> tuple[np.ndarray | None, str]:
    """The average w in the file, and a note if it is to be computed."""
    if average is None:
        return None, f"the file has no average w: {tell_average()}"
    tensor = as_tensor(AVERAGE, average)
    if tensor.shape[-1:] != (w_dim,):
        raise CheckpointError(
            f"{AVERAGE}: got shape {list(tensor.shape)}, expected [{w_dim}] or one such row for "
            "each layer"
        )
    rows = Modules(tensors={AVERAGE: tensor}).read(AVERAGE).reshape(-1, w_dim)
    if not np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape), equal_nan=True):
        return (
            None,
            f"{AVERAGE} differs from layer to layer, which is not supported: {tell_average()}",
        )
    return rows[0].copy(), ""


def _note_rest(value: dict[Any, Any], chosen: _Generator) -> str:
    """What else is in the file."""
    rest = [key for key in value if key not in (chosen.holder, AVERAGE)] if chosen.holder else []
    rest += [
        next((part for part in name.split(".") if part not in _SILENT), name)
        for name in chosen.dict
        if type(name) is str and not name.startswith(chosen.prefix) and name != AVERAGE
    ]
    if not rest:
        return ""
    shown = quote_some(dict.fromkeys(rest))
    # An encoder beside a decoder may be exported, too: see `export.encoders`.
    kept = "not of the generator" if chosen.name == "decoder" else "not exported"
    return f"beside {quote(chosen.name)} the file has {shown}, which are {kept}"
