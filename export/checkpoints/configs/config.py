"""What the configuration of every family has: the latents, the mapping network, and the checks.

All families map their latents by the same network, so its tensors have the same names everywhere
(StyleGAN, section 2; the label as in StyleGAN2-ADA):

    mapping.w_avg                                 [w_dim], with a table of classes [c_dim, w_dim]
    mapping.embed.{weight, bias}                  [E, c_dim], [E]        only if c_dim > 0
    mapping.embed.weight                          [c_dim, F]             instead: a table of classes
    mapping.embed_proj.{weight, bias}             [E, F], [E]            and what follows it
    mapping.fc{i}.{weight, bias}                  [out, in], [out]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = [
    "ACTIVATIONS",
    "MAX_MAPPING_LAYERS",
    "SMALL",
    "Config",
    "Shapes",
    "check_choice",
    "check_integer",
    "check_integers",
    "check_positive",
]

ACTIVATIONS = ("lrelu", "relu", "swish", "linear")
SMALL = 2e9  # multiply-adds of one image: networks below are drawn on one thread, and often

MAX_MAPPING_LAYERS = 256

Shapes = dict[str, tuple[int, ...]]  # by the tensor's name

# What a field may be: an integer's least and most.
_RANGES = {
    "z_dim": (1, 2**16),
    "c_dim": (0, 2**20),
    "w_dim": (1, 2**16),
    "img_channels": (1, 2**10),
    "mapping_layers": (1, MAX_MAPPING_LAYERS),
    "embed_features": (0, 2**16),
    "class_features": (0, 2**16),
    "mapping_features": (1, 2**16),
}

AnyConfig = TypeVar("AnyConfig", bound="Config")


@dataclass(frozen=True, kw_only=True)
class Config(ABC):
    """The architecture of a generator, enough to build it. Each family has a subclass."""

    family: ClassVar[str]  # 'stylegan2'
    title: ClassVar[str]  # 'StyleGAN2'
    # What its authors draw with where nothing is asked for.
    truncation_psi: ClassVar[float] = 1.0
    truncation_cutoff: ClassVar[int | None] = None
    has_transform: ClassVar[bool] = False  # the synthesis takes a transform [N, 3, 3]

    z_dim: int  # length of the latent z
    c_dim: int  # length of the conditioning label c, 0 = unconditional
    w_dim: int  # length of the intermediate latent w
    img_channels: int  # channels of the image: 1, 3, 4, ...
    mapping_layers: int  # fully connected layers of the mapping network
    embed_features: int = 0  # length of the embedded label, 0 if c_dim is 0
    # Length of the rows of a table that classes are looked up in, each with a w_avg of its own, as
    # StyleGAN-XL does; 0 = there is none.
    class_features: int = 0
    mapping_features: int = 512  # width of the mapping network between its first and last layer
    mapping_activation: str = "lrelu"
    mapping_lr_multiplier: float = 0.01  # the mapping network's weights are stored divided by it
    joint_normalization: bool = False  # z and the embedded label are normalised as one vector
    conv_clamp: float | None = None  # activations are clamped to +-conv_clamp, None = not
    use_noise: bool = True  # layers add noise

    def __post_init__(self) -> None:
        """Refuse values that no generator of the family has.

        Raises:
            CheckpointError: a field has another type, is out of its range, or does not fit to
                others.
        """
        for name, (least, most) in _RANGES.items():
            check_integer(name, getattr(self, name), least, most)
        check_choice("mapping_activation", self.mapping_activation, ACTIVATIONS)
        for name in ("joint_normalization", "use_noise"):
            check_choice(name, getattr(self, name), (True, False))
        check_positive("mapping_lr_multiplier", self.mapping_lr_multiplier)
        if self.conv_clamp is not None:
            check_positive("conv_clamp", self.conv_clamp)
        if (self.c_dim > 0) != (self.embed_features > 0):
            raise CheckpointError(
                f"embed_features is {self.embed_features} and c_dim {self.c_dim}, "
                "expected both 0 or none"
            )
        if self.class_features and (not self.c_dim or self.joint_normalization):
            raise CheckpointError(
                "class_features: expected 0 without classes, or where labels are normalised with z"
            )

    @property
    @abstractmethod
    def img_shape(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""

    @property
    @abstractmethod
    def num_ws(self) -> int:
        """How many w vectors the synthesis takes."""

    @property
    @abstractmethod
    def block_names(self) -> tuple[str, ...]:
        """Parts of the synthesis that have one precision each, in their order."""

    @property
    @abstractmethod
    def native_half_blocks(self) -> tuple[str, ...]:
        """Those trained in half precision, else those of the four highest resolutions."""

    @property
    @abstractmethod
    def max_fan_in(self) -> int:
        """The largest number of inputs that one output of a convolution sums."""

    @abstractmethod
    def list_synthesis_shapes(self) -> Shapes:
        """Name and shape of every tensor of the synthesis, but filters of any size."""

    @property
    def filter_names(self) -> tuple[str, ...]:
        """Tensors that are filters of a size that the checkpoint chooses, [t, t] or [t], if any."""
        return ()

    @abstractmethod
    def count_synthesis_multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and affine layers of one image.

        Transposed convolutions count at their input pixels, filters not at all.
        """

    @property
    def mapping_widths(self) -> tuple[int, ...]:
        """Lengths of the vectors before, between and after the mapping network's layers."""
        inner = [self.mapping_features] * (self.mapping_layers - 1)
        return self.z_dim + self.embed_features, *inner, self.w_dim

    def list_mapping_shapes(self) -> Shapes:
        """Name and shape of every tensor of the mapping network."""
        shapes: Shapes = {"mapping.w_avg": (self.w_dim,)}
        if self.class_features:
            shapes["mapping.w_avg"] = (self.c_dim, self.w_dim)
            shapes["mapping.embed.weight"] = (self.c_dim, self.class_features)
            shapes["mapping.embed_proj.weight"] = (self.embed_features, self.class_features)
            shapes["mapping.embed_proj.bias"] = (self.embed_features,)
        elif self.c_dim:
            shapes["mapping.embed.weight"] = (self.embed_features, self.c_dim)
            shapes["mapping.embed.bias"] = (self.embed_features,)
        for i, (wide_in, wide_out) in enumerate(pairwise(self.mapping_widths)):
            shapes[f"mapping.fc{i}.weight"] = (wide_out, wide_in)
            shapes[f"mapping.fc{i}.bias"] = (wide_out,)
        return shapes

    def list_shapes(self) -> Shapes:
        """Name and shape of every tensor, but filters of any size."""
        return self.list_mapping_shapes() | self.list_synthesis_shapes()

    def count_multiply_adds(self) -> dict[str, int]:
        """Multiply-adds of one image: 'mapping' and 'synthesis'.

        Modulation, filters, pointwise work and what is looked up in a table are not counted.
        """
        shapes = self.list_mapping_shapes()
        matrices = [
            shape
            for name, shape in shapes.items()
            if len(shape) == 2 and (name.startswith("mapping.fc") or not self.class_features)
        ]
        return {
            "mapping": sum(math.prod(shape) for shape in matrices),
            "synthesis": self.count_synthesis_multiply_adds(),
        }

    @property
    def work(self) -> int:
        """Multiply-adds of one image, mapping and synthesis together."""
        return sum(self.count_multiply_adds().values())

    def summarize(self) -> dict[str, str]:
        """What a user wants to know of the architecture, by what it is."""
        height, width = self.img_shape
        clamp = "no clamp" if self.conv_clamp is None else f"clamped to +-{self.conv_clamp:g}"
        return {
            "network": self.title,
            "image": f"{height} x {width}, {self.img_channels} channels",
            "latents": f"z {self.z_dim}, w {self.w_dim}, {self.num_ws} ws",
            "classes": f"{self.c_dim}{', each with a mean w' if self.class_features else ''}"
            if self.c_dim
            else "none (unconditional)",
            "mapping": f"{self.mapping_layers} layers of {self.mapping_features}",
            "noise": "yes" if self.use_noise else "no",
            "activations": clamp,
        }

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return {name: _to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls: type[AnyConfig], data: Mapping[str, Any]) -> AnyConfig:
        """The configuration from what `to_json` gave.

        Raises:
            CheckpointError: a field is missing, unknown, or of the wrong kind.
        """
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise CheckpointError(f"the {cls.title} configuration is incomplete: {error}") from None


def _to_json(value: Any) -> Any:
    """Tuples as lists, those in records, too."""
    if isinstance(value, dict):
        return {name: _to_json(item) for name, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def check_integer(name: str, value: Any, least: int, most: int) -> None:
    """Refuse what is no integer from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise CheckpointError(f"{name}: got {quote(value)}, expected {least} to {most}")


def check_integers(name: str, values: Any, shortest: int, longest: int, most: int) -> None:
    """Refuse what is no tuple of integers from 1 to `most`."""
    if type(values) is not tuple or not shortest <= len(values) <= longest:
        raise CheckpointError(
            f"{name}: got {quote(values)}, expected {shortest} to {longest} integers"
        )
    for value in values:
        check_integer(name, value, 1, most)


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        expected = ", ".join(map(str, choices))
        raise CheckpointError(f"not supported: {name} {quote(value)}, expected {expected}")


def check_positive(name: str, value: Any) -> float:
    """A finite number above 0; all else is refused."""
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise CheckpointError(f"{name}: got {quote(value)}, expected a number above 0")
    return float(value)
