"""Two checkpoints of one family as one: coarse layers of the first, fine layers of the second.

It is what *Toonify* is made of (Pinkney and Adler, 2020): a network and one that was trained on
from it share what their layers mean, so the layers of one go on from those of the other.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stylert.export.checkpoints import Checkpoint, Source, StyleGAN3Config
from stylert.export.checkpoints.configs.config import Config
from stylert.runtime.arguments import shown_number
from stylert.runtime.control.truncation import as_number
from stylert.runtime.errors import InvalidInput

__all__ = ["blend_checkpoints", "list_levels"]

MAPPINGS = ("A", "B")
# What a blend may take from one parent: how it is trained or drawn, not what its layers compute.
_FREE = ("num_fp16_res",)
_SHOWN = 4  # differences that a message names


def list_levels(config: Config) -> tuple[float, ...]:
    """The levels of a family's network: 0, the resolutions of its layers, and infinity."""
    return (
        0.0,
        *sorted({_find_resolution(config, block) for block in config.block_names}),
        math.inf,
    )


def blend_checkpoints(
    first: Checkpoint,
    second: Checkpoint,
    *,
    level: float,
    width: float | None = None,
    mapping: str | None = None,
) -> Checkpoint:
    """Take layers of up to a resolution from the first checkpoint, and finer ones from the second.

    With `width`, layers near it are sums of both: the second's share of a layer at position x is
    1 / (1 + exp(-x / width)), where x counts layers from the first one of that resolution, two for
    each resolution.

    Args:
        first: whose coarse layers are taken: poses and shapes.
        second: of the same architecture, whose fine layers are taken: textures and colours.
        level: a resolution in pixels, such as 32, up to which layers are the first's; 0 = all are
            the second's, infinity = all are the first's.
        width: how many layers the change takes, about; None = at once.
        mapping: 'A' or 'B': whose mapping network and mean w are taken; None = the first's, but
            the second's at level 0, which is the second checkpoint then.

    Raises:
        InvalidInput: the checkpoints are of other architectures, or there is no such level, width
            or mapping.
    """
    _check_same(first, second)
    levels = list_levels(first.config)
    if as_number(level) not in levels:
        expected = ", ".join(f"{one:g}" for one in levels)
        raise InvalidInput(f"level: got {shown_number(level)}, expected one of {expected}.")
    if width is not None and not 0 < as_number(width) < math.inf:
        raise InvalidInput(
            f"width: got {shown_number(width)}, expected a number of layers above 0."
        )
    if mapping not in (None, *MAPPINGS):
        raise InvalidInput(f"mapping: got {mapping!r}, expected A or B.")
    own = second if mapping == "B" or (mapping is None and level == 0) else first
    tensors = {}
    for name, tensor in first.tensors.items():
        if name.startswith("synthesis."):
            share = _find_share(_find_position(first.config, name), level, width)
            tensors[name] = _mix(name, tensor, second.tensors[name], share)
        else:
            tensors[name] = own.tensors[name]
    return replace(
        own,
        tensors=tensors,
        source=_tell_source(first, second),
        notes=(
            *dict.fromkeys((*first.notes, *second.notes)),
            _tell(first, second, level, width, own),
        ),
    )


def _find_resolution(config: Config, block: str) -> float:
    """Pixels of a block's longer side, without margins; of blocks b4, b8, ... as they are named."""
    if isinstance(config, StyleGAN3Config):
        return float(config.rates[config.block_names.index(block)])
    return float(block.removeprefix("b"))


def _find_position(config: Config, name: str) -> float:
    """Where a tensor of the synthesis stands: two positions for each doubling, from 4 pixels on.

    What belongs to no block comes before or, as the one noise map of lucidrains, goes with the
    first.
    """
    block, _, rest = name.removeprefix("synthesis.").partition(".")
    if block not in config.block_names:
        return -math.inf if block in ("input", "start") else _find_position_of_output(config)
    position = 2 * math.log2(_find_resolution(config, block) / 4)
    return position + (re.match(r"conv1|torgb", rest) is not None)


def _find_position_of_output(config: Config) -> float:
    """Where what only the last block has its own size of is: at the end."""
    return 2 * math.log2(_find_resolution(config, config.block_names[-1]) / 4) + 1


def _find_share(position: float, level: float, width: float | None) -> float:
    """The second's share of a layer."""
    if level in (0, math.inf):
        return float(level == 0)
    x = position - 2 * math.log2(level / 4)
    if width is None:
        return float(x > 1)  # both layers of that resolution are the first's
    if x / width < -700:  # exp overflows
        return 0.0
    return 1 / (1 + math.exp(-x / width))


def _mix(name: str, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """A tensor of both, to the last bit that of a parent where it is that parent's alone.

    The noise of a layer is one parent's: a sum of two would be weaker than either.
    """
    if name.endswith("noise_const"):
        share = round(share)
    if share in (0, 1) or np.array_equal(first, second):
        return second if share == 1 else first
    mixed = share * second.astype(np.float64) + (1 - share) * first.astype(np.float64)
    return np.asarray(mixed, np.float32)


def _check_same(first: Checkpoint, second: Checkpoint) -> None:
    """Refuse checkpoints whose layers are not of the same kind and shape."""
    names = first.source.file, second.source.file
    if first.family != second.family:
        raise InvalidInput(
            f"{names[1]} is of {second.config.title}, {names[0]} of {first.config.title}: expected "
            "two networks of one family, one trained on from the other."
        )
    shapes = [{k: t.shape for k, t in one.tensors.items()} for one in (first, second)]
    differ = _name_layers(*shapes)
    if differ:
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        raise InvalidInput(
            f"{names[1]} has other layers than {names[0]}: {'; '.join(differ[:_SHOWN])}{more}. "
            "Expected the same architecture."
        )
    facts = [one.config.to_json() for one in (first, second)]
    for key, value in facts[0].items():
        if facts[1].get(key) != value and key not in _FREE:
            raise InvalidInput(
                f"{names[1]} has {key} {facts[1].get(key)}, {names[0]} {value}: expected the same "
                "architecture."
            )


def _name_layers(
    first: Mapping[str, tuple[int, ...]], second: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """The tensors whose shapes differ, with both; one of a layer is enough."""
    found: dict[str, str] = {}
    names = (*first, *(name for name in second if name not in first))
    for name in sorted(names, key=lambda name: not name.endswith(".weight")):
        one, other = first.get(name), second.get(name)
        if one != other:
            layer = name.removeprefix("synthesis.").removesuffix(".weight").removesuffix(".bias")
            layer = layer.removesuffix(".affine")
            told = f"{layer} is {_show(other)} instead of {_show(one)}"
            found.setdefault(
                layer.removesuffix(".noise_const").removesuffix(".noise_strength"), told
            )
    return list(found.values())


def _show(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"


def _tell_source(first: Checkpoint, second: Checkpoint) -> Source:
    """A blend has no file yet: its source is both parents."""
    parents = first.source, second.source
    digest = hashlib.sha256(" ".join(source.sha256 for source in parents).encode()).hexdigest()
    return Source(
        file=" and ".join(source.file for source in parents),
        sha256=digest,
        bytes=sum(source.bytes for source in parents),
        format="blend",
        network=first.source.network,
    )


def _tell(
    first: Checkpoint, second: Checkpoint, level: float, width: float | None, own: Checkpoint
) -> str:
    names = [f"{one.source.file} (sha256 {one.source.sha256[:12]})" for one in (first, second)]
    over = f" over a width of {width:g}" if width is not None else ""
    whose = "first" if own is first else "second"
    return (
        f"a blend: layers of up to {level:g} pixels of {names[0]}, finer ones of {names[1]}{over}; "
        f"the mapping network is the {whose}'s"
    )
