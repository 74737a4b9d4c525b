"""Files of torch.save that people take for a StyleGAN of ours, and why each cannot be read.

Every one of them has names, or shapes, that no other has. The maths behind them differs, or is not
told by the file: reading them by guesswork would draw wrong pictures without a word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from stylert.export.checkpoints.containers import walk_containers
from stylert.export.checkpoints.safe_pickle.pickle_names import RefusedName
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.runtime.errors import CheckpointError

__all__ = ["explain", "list_tensor_shapes", "refuse_dual_styles", "refuse_look_alikes"]

_MAX_TENSORS = 20_000
Shapes = Mapping[str, tuple[int, ...]]  # by the tensor's name


def list_tensor_shapes(value: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a value, in containers, too.

    A tensor's name begins with the keys that lead to it.
    """
    return dict(islice(_walk_tensors(value), _MAX_TENSORS))


def _walk_tensors(value: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    for container in walk_containers(value):
        for name, tensor in container.parts.items():
            if type(tensor) is Tensor:
                yield ".".join((*container.path, str(name))), tensor.shape


def refuse_look_alikes(shapes: Shapes, foreign: Collection[str] = ()) -> None:
    """Refuse tensors that belong to a known family which is not supported.

    Args:
        shapes: What `list_tensor_shapes` gave, or those of one state dict.
        foreign: Names of the classes that the file has and that are not read.

    Raises:
        CheckpointError: they are.
    """
    names = dict.fromkeys(foreign, ()) | dict(shapes)
    for tells, reason in _LOOK_ALIKES:
        if tells(names):
            raise CheckpointError(f"not supported: {reason}")


def refuse_dual_styles(names: Iterable[Any], network: str) -> None:
    """Refuse the file of a DualStyleGAN, whose generator alone draws the faces before the style.

    Args:
        names: of the tensors beside those of the generator.
        network: what the generator is called.

    Raises:
        CheckpointError: it is one.
    """
    if any(_DUAL(name) for name in names if type(name) is str):
        raise CheckpointError(
            "not supported: a DualStyleGAN, whose second path of styles (res.*) is missing here: "
            "there are no pictures of its own code to prove it by. Its generator without style can "
            f"be read: pass network={network!r}"
        )


def explain(refused: RefusedName) -> CheckpointError:
    """The refusal of a name, with what to do where it is the class of a whole network."""
    module, _, name = refused.name.rpartition(".")
    if not name[:1].isupper() or module.partition(".")[0] in sys.stdlib_module_names:
        return refused
    return CheckpointError(
        f"{refused}; if a whole network was saved, save its state_dict() instead"
    )


def _has(pattern: str) -> Callable[[Shapes], bool]:
    """Whether some name has the pattern, which begins where a part of the name does."""
    search = re.compile(rf"(?:^|\.)(?:{pattern})").search
    return lambda shapes: any(search(name) for name in shapes)


def _has_wavelets(shapes: Shapes) -> bool:
    """Its ToRGB makes the four Haar bands of three colours."""
    return _has(r"[di]wt\.(?:ll|lh|hl|hh)$|swagan\.")(shapes) or any(
        name.endswith("to_rgb1.bias") and shape[1:2] == (12,) for name, shape in shapes.items()
    )


def _joins_noise(shapes: Shapes) -> bool:
    """The activation has twice the channels of its convolution: the noise is the other half."""
    bias, weight = "conv1.activate.bias", "conv1.conv.weight"
    return any(
        shape[:1] == (2 * shapes[f"{name.removesuffix(bias)}{weight}"][1],)
        for name, shape in shapes.items()
        if name.endswith(bias) and len(shapes.get(f"{name.removesuffix(bias)}{weight}", ())) == 5
    )


_DUAL = re.compile(r"(?:^|\.)res\.\d+\.norm2?\.style\.(?:weight|bias)$").search

# The first that fits is named.
_LOOK_ALIKES: tuple[tuple[Callable[[Shapes], bool], str], ...] = (
    (
        _has(r"networks_fastgan\.|feat_8\.\d|se_64\."),
        (
            "a FastGAN generator, the default of projected-gan, which has no styles; its "
            "networks of --cfg=stylegan2 can be read"
        ),
    ),
    (
        _has(r"condition_(?:scale|shift)\.\d|stylegan_decoder\.|gfpgan\."),
        (
            "a GFPGAN, which restores faces: its decoder draws what an encoder sees, and nothing "
            "from a seed"
        ),
    ),
    (
        _has(r"style_conv1\.modulated_conv\."),
        (
            "a network of BasicSR, which has other names, and in its 'clean' form upsamples "
            "bilinearly"
        ),
    ),
    (
        _has(r"weight_(?:dw|permute)$|mobile_synthesis"),
        (
            "a MobileStyleGAN, which has depthwise convolutions, wavelets and fixed demodulation; "
            "its own code exports it"
        ),
    ),
    (_has_wavelets, "a SWAGAN, which makes wavelet coefficients and no colours"),
    (
        _has(r"generator\.progression\.\d"),
        (
            "a StyleGAN 1 of rosinality's style-based-gan-pytorch; the TensorFlow pickles of "
            "StyleGAN 1 can be read"
        ),
    ),
    (
        _has(r"g_synthesis\.blocks\."),
        "a StyleGAN 1 of lernapparat; the TensorFlow pickles of StyleGAN 1 can be read",
    ),
    (
        _joins_noise,
        "a generator that joins its noise as more channels, as GPEN does",
    ),
)
