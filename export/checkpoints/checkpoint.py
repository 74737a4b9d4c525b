"""What every reader gives: a `Checkpoint`, which is a configuration and its tensors. NumPy only.

The names of the tensors are listed with the configuration of each family, in `configs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.config import Config
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.class_names import check_class_names
from stylert.runtime.labels import Classes

__all__ = ["Checkpoint", "Source"]


@dataclass(frozen=True)
class Source:
    """Where a checkpoint came from. The reader of its format tells the last two."""

    file: str  # name without folders
    sha256: str
    bytes: int
    format: str = ""  # e.g. 'stylegan2-ada-pytorch pickle'
    network: str = ""  # which network of the file: 'G_ema', 'G', ...


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Checkpoint:
    """A generator's configuration and its tensors, all float32 and C-contiguous."""

    config: Config
    tensors: Mapping[str, np.ndarray]
    source: Source
    notes: tuple[str, ...] = field(default=())  # what a user should know about the reading
    class_names: tuple[str, ...] = ()  # of a conditional generator, where they are known

    def __post_init__(self) -> None:
        try:
            check_class_names(Classes(self.config.c_dim, self.class_names))
        except ValueError as error:
            raise InvalidInput(f"class_names: {error}.") from None

    @property
    def family(self) -> str:
        """'stylegan1', 'stylegan2', 'stylegan3' or 'lucidrains'."""
        return self.config.family

    @property
    def num_parameters(self) -> int:
        """Trainable numbers: all tensors but averages, the noise constants and the filters."""
        frozen = (
            "w_avg",
            "noise_const",
            "_filter",
            "magnitude_ema",
            ".freqs",
            ".phases",
            ".transform",
        )
        return sum(t.size for name, t in self.tensors.items() if not name.endswith(frozen))

    @property
    def noise(self) -> dict[str, np.ndarray]:
        """The constant noise [H, W] by the name of its layer, such as 'b8.conv0', in their order.

        The one map of a lucidrains network, which all its layers share, has the name ''.
        The order matters, since noise of a seed is drawn layer by layer, and files have others: in
        a safetensors file, b16 comes before b4.
        """
        suffix = ".noise_const"
        fields = {
            name.removesuffix(suffix).removeprefix("synthesis").removeprefix("."): tensor
            for name, tensor in self.tensors.items()
            if name.endswith(suffix)
        }
        return {layer: fields[layer] for layer in sorted(fields, key=_rank_layer)}

    def describe(self) -> dict[str, Any]:
        """What the manifest of its bundle says of it, as plain JSON types."""
        return {
            "family": self.family,
            **({"classes": list(self.class_names)} if self.class_names else {}),
            "config": self.config.to_json(),
            "statistics": {
                "parameters": self.num_parameters,
                "multiply_adds": self.config.count_multiply_adds(),
                "noise_strength": self.noise_strength,
            },
            "provenance": {"source": asdict(self.source), "notes": list(self.notes)},
        }

    @property
    def noise_strength(self) -> float | None:
        """The largest of all layers; 0 = noise changes nothing, None = the network takes none."""
        strengths = [
            np.abs(tensor).max()
            for name, tensor in self.tensors.items()
            if name.endswith(".noise_strength")
        ]
        return float(max(strengths)) if strengths else None


def _rank_layer(layer: str) -> tuple[int, str]:
    """Where a layer stands among the others: b4.conv1, b8.conv0, b8.conv1, ..., b16.conv0."""
    block, _, name = layer.partition(".")
    return int(block.removeprefix("b") or 0), name
