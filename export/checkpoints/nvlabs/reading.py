"""What a family's reader makes of the modules of a pickled network: a `Reading`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stylert.export.checkpoints.configs.config import Config

__all__ = ["Reading"]


@dataclass(frozen=True, eq=False)
class Reading:
    """The configuration of a network, and how its tensors become those of a `Checkpoint`."""

    config: Config
    format: str  # of the file, e.g. 'stylegan3 pickle'
    filled: Mapping[str, np.ndarray]  # tensors that the network lacks
    copies: Mapping[str, str] = field(default_factory=dict)  # tensors that must equal another one
    unused: frozenset[str] = frozenset()  # tensors that a layer holds and never uses
    classes: frozenset[str] = frozenset()  # names that the family's own modules have
    unknown_arguments: tuple[str, ...] = ()  # that it was made with
    notes: tuple[str, ...] = ()
