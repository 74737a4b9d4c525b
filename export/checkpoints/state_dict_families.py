"""The families whose networks are read from state dicts: what tells each, and what reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stylert.export.checkpoints.assumptions import Assumptions
from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.nvlabs.networks import read_modules
from stylert.export.checkpoints.nvlabs.state_dict import assume_modules
from stylert.export.checkpoints.rosinality.renamed import (
    read_renamed,
    rename_genforce,
    rename_mmgeneration,
)
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.state_dicts import (
    StateDict,
    choose_state_dict,
    find_state_dicts,
)
from stylert.export.checkpoints.tensorflow.genforce import read_genforce_stylegan1
from stylert.runtime.errors import CheckpointError

__all__ = [
    "STATE_DICT_MARKS",
    "has_state_dicts",
    "read_state_dict",
    "refuse_state_dicts",
    "tell_expected",
]

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class _Family:
    """A family's state dicts."""

    title: str
    mark: str  # a tensor that all its generators have, and no other family
    scopes: str  # where its tensors are: an expression for the first part of their names
    open_ones: tuple[str, ...]  # the assumptions that it takes
    read: Callable[[Tensors, Assumptions, Source], Checkpoint]


def has_state_dicts(value: Any) -> bool:
    """Whether a value has a state dict of some family."""
    return bool(_find(value))


def read_state_dict(
    value: Any, network: str | None, source: Source, assume: Assumptions
) -> Checkpoint:
    """Read one generator of a value for which `has_state_dicts` holds.

    Args:
        value: The value of a file of torch.save, of a pickle, or of a .safetensors file.
        network: Which generator to read, None = the average one or the only one.
        source: The file, whose size bounds what its tensors may claim.
        assume: What the user said of what the file does not tell.

    Raises:
        CheckpointError: there is no such generator, it fits two families, or it is none that is
            supported.
    """
    found = _find(value)
    name, note = choose_state_dict(found, network)
    (family, state), *others = found[name]
    if others:
        marks = quote_some([family.mark, *(other.mark for other, _ in others)])
        titles = " and ".join([family.title, *(other.title for other, _ in others)])
        raise CheckpointError(
            f"not supported: {quote(name)} has tensors of {titles} ({marks}), expected one of them"
        )
    assume.refuse_others(*family.open_ones)
    source = replace(source, network=name, format=f"state dict of {family.title}")
    checkpoint = family.read(state.read_tensors(family.scopes), assume, source)
    rest = [key for key in value if state.holders and key != state.holders[0]]
    rest += state.list_others(family.scopes)
    more = f"beside {quote(name)} the file has {quote_some(rest)}, which are not exported"
    notes = (*checkpoint.notes, note, more if rest else "")
    return replace(checkpoint, source=source, notes=tuple(filter(None, notes)))


def refuse_state_dicts(value: Any) -> None:
    """Refuse a value of another kind that has a state dict, too.

    Raises:
        CheckpointError: it has.
    """
    for name, ((family, _), *_) in _find(value).items():
        raise CheckpointError(
            f"not supported: beside a generator of another family it has {quote(name)} of "
            f"{family.title}, expected one family in a file"
        )


def tell_expected() -> str:
    """The tensors that tell a family."""
    marks = [f"{family.mark} ({family.title})" for family in _FAMILIES]
    return ", ".join([*marks, "or input.input (rosinality's StyleGAN2)"])


def _find(value: Any) -> dict[str, list[tuple[_Family, StateDict]]]:
    """The generators in a value by name, each with the families that it fits."""
    places: dict[str, list[tuple[_Family, StateDict]]] = {}
    for family in _FAMILIES:
        for state in find_state_dicts(value, family.mark):
            places.setdefault(state.path, []).append((family, state))
    names = Counter(fits[0][1].name for fits in places.values())
    return {
        fits[0][1].name if names[fits[0][1].name] == 1 else path: fits
        for path, fits in places.items()
    }


# The families.


def _read_nvlabs(tensors: Tensors, assume: Assumptions, source: Source) -> Checkpoint:
    modules, note = assume_modules(tensors, assume)
    checkpoint = read_modules(modules, source.network, source)
    return replace(checkpoint, notes=(note, *checkpoint.notes))


def _read_genforce(tensors: Tensors, assume: Assumptions, source: Source) -> Checkpoint:
    return read_renamed(rename_genforce(tensors), assume.mapping_lr, source)


def _read_genforce_stylegan1(tensors: Tensors, assume: Assumptions, source: Source) -> Checkpoint:
    return read_genforce_stylegan1(tensors, assume.mapping_lr, source)


def _read_mmgeneration(tensors: Tensors, assume: Assumptions, source: Source) -> Checkpoint:
    if assume.colors is None:
        raise CheckpointError(
            "a network of mmgeneration or mmagic does not tell the order of its colours: pass "
            "colors='rgb' if it was converted from official weights, else colors='bgr', which its "
            "training makes"
        )
    renamed = rename_mmgeneration(tensors, bgr=assume.colors == "bgr")
    return read_renamed(renamed, assume.mapping_lr, source)


_OF_NVLABS = ("mapping|synthesis", ("conv_clamp", "activation", "mapping_lr", "num_fp16_res"))
_FAMILIES = (
    _Family("NVlabs' StyleGAN2", "synthesis.b4.const", *_OF_NVLABS, _read_nvlabs),
    _Family("NVlabs' StyleGAN3", "synthesis.input.freqs", *_OF_NVLABS, _read_nvlabs),
    _Family(
        "genforce's StyleGAN2",
        "synthesis.early_layer.const",
        "mapping|synthesis|truncation",
        ("mapping_lr",),
        _read_genforce,
    ),
    _Family(
        "genforce's StyleGAN 1",
        "synthesis.layer0.const",
        "mapping|synthesis|truncation",
        ("mapping_lr",),
        _read_genforce_stylegan1,
    ),
    _Family(
        "mmgeneration's StyleGAN2",
        "constant_input.input",
        r"style_mapping|constant_input|convs?1?|to_rgb[s1]|injected_noise_\d+",
        ("mapping_lr", "colors"),
        _read_mmgeneration,
    ),
)
STATE_DICT_MARKS = tuple(family.mark for family in _FAMILIES)
