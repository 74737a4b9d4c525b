"""Encoders in the files of pSp, e4e and ReStyle, which hold their generator, too -> `Encoder`.

    state_dict   'encoder.*', and the generator as 'decoder.*' with rosinality's names
    opts         the options of the training, a plain dict
    latent_avg   [n, w_dim], [1, w_dim] or [w_dim]; where it is, it is added to the codes

The tensors tell widths, backbone and head; the options, what tensors cannot: pSp's pyramid and
e4e's have the same names and shapes, and mean different things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.state_dicts import as_tensor
from stylert.export.checkpoints.validation import check_size, check_values
from stylert.export.encoders.checks import check_tensors
from stylert.export.encoders.config import POOLED, Encoder, EncoderConfig
from stylert.runtime.errors import CheckpointError

__all__ = ["is_official", "read_official"]

_FIRST = {"input_layer.0.weight": "ir_se50", "conv1.weight": "resnet34"}
# The last unit of each stage of the body.
_ENDS = {"ir_se50": (2, 6, 20, 23), "resnet34": (2, 6, 12, 15)}
_CARS = "cars_encode"
_CAR_ROWS = (64, 448)  # of 512: cars are wide
_PASSES = 5  # of ReStyle, where the options do not say
_OFFSETS = ("Encoder4Editing", "ProgressiveBackboneEncoder", "ResNetProgressiveBackboneEncoder")
_PICTURES = {0: "photo", 1: "sketch"}  # by label_nc; more are label maps


def is_official(value: Any) -> bool:
    """Whether the value of a file has an encoder and a generator as pSp, e4e and ReStyle do."""
    state = value.get("state_dict") if type(value) is dict else None
    return type(state) is dict and any(f"encoder.{name}" in state for name in _FIRST)


def read_official(value: Mapping[str, Any], source: Source) -> Encoder:
    """Read the encoder of a value for which `is_official` holds.

    Args:
        value: The value of a file of torch.save.
        source: The file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: it is damaged, or of a kind that is not supported.
    """
    modules = _list_tensors(value["state_dict"], "encoder.")
    decoder = _list_tensors(value["state_dict"], "decoder.")
    check_size(modules.num_elements, source)
    options = value.get("opts")
    options = options if type(options) is dict else {}
    config = _read_config(modules, decoder, options)
    tensors = check_tensors(modules, config.list_shapes(), config.title)
    average = _read_average(value.get("latent_avg"), config)
    missing = average is None and options.get("start_from_latent_avg") is True
    if missing or (average is None and config.feedback):
        raise CheckpointError(
            "latent_avg is missing, to which this encoder's codes are added: use the file as its "
            "training wrote it"
        )
    return Encoder(config, tensors, average, source)


def _list_tensors(state: dict[Any, Any], prefix: str) -> Modules:
    """The tensors behind a prefix, but the counters of the batch normalisation."""
    tensors = {}
    for name, value in state.items():
        mine = type(name) is str and name.startswith(prefix)
        if mine and not name.endswith(".num_batches_tracked"):
            tensors[name.removeprefix(prefix)] = as_tensor(name, value)
    return Modules(tensors=tensors)


def _read_config(encoder: Modules, decoder: Modules, options: dict[Any, Any]) -> EncoderConfig:
    first = next(name for name in _FIRST if name in encoder.tensors)
    backbone = _FIRST[first]
    in_channels = encoder.find_shape(first, 4)[1]
    feedback = in_channels == 6
    widths = tuple(
        encoder.find_shape(f"body.{end}.{_name_conv(backbone)}", 4)[0] for end in _ENDS[backbone]
    )
    head = _find_head(encoder)
    w_dim, num_ws = _find_sizes(decoder)
    num_codes = _count_codes(encoder, head, w_dim)
    if num_codes < num_ws and head != "w":
        raise CheckpointError(
            f"its encoder makes {num_codes} codes, and its decoder takes {num_ws}"
        )
    return EncoderConfig(
        title=_find_title(options, feedback=feedback),
        backbone=backbone,
        head=head,
        widths=widths,
        squeeze=_find_squeeze(encoder) if backbone == "ir_se50" else 16,
        num_codes=num_codes,
        num_ws=num_ws,
        w_dim=w_dim,
        offsets=_has_offsets(options, head),
        feedback=feedback,
        passes=_find_passes(options) if feedback else 1,
        **_find_picture(options, in_channels),
    )


def _name_conv(backbone: str) -> str:
    return "res_layer.3.weight" if backbone == "ir_se50" else "conv2.weight"


def _find_head(encoder: Modules) -> str:
    names = encoder.tensors
    if "output_layer_2.3.weight" in names:
        return "w_plus"
    if "linear.weight" in names:
        return "w"
    return "pyramid" if "latlayer1.weight" in names else "flat"


def _find_sizes(decoder: Modules) -> tuple[int, int]:
    """The generator's w_dim and num_ws."""
    if "conv1.conv.modulation.weight" not in decoder.tensors:
        raise CheckpointError("the file has an encoder, and no generator ('decoder.*') beside it")
    count = sum(bool(re.fullmatch(r"convs\.\d+\.conv\.weight", name)) for name in decoder.tensors)
    return decoder.find_shape("conv1.conv.modulation.weight", 2)[1], count + 2


def _count_codes(encoder: Modules, head: str, w_dim: int) -> int:
    if head == "w":
        return 1
    if head == "w_plus":
        rows = encoder.find_shape("linear.weight", 2)[0]
        wide = encoder.find_shape("output_layer_2.3.weight", 2)[1]
        if rows % w_dim or wide % POOLED**2:
            raise CheckpointError(f"encoder.linear.weight has {rows} rows, which are no w")
        return rows // w_dim
    return sum(bool(re.fullmatch(r"styles\.\d+\.linear\.weight", name)) for name in encoder.tensors)


def _find_squeeze(encoder: Modules) -> int:
    wide = encoder.find_shape("body.0.res_layer.5.fc2.weight", 4)[:2]
    if not wide[1] or wide[0] % wide[1]:
        raise CheckpointError(f"body.0.res_layer.5: got {wide[1]} channels of {wide[0]}")
    return wide[0] // wide[1]


def _find_title(options: dict[Any, Any], *, feedback: bool) -> str:
    of_e4e = "stylegan_size" in options or options.get("encoder_type") in _OFFSETS
    title = "e4e" if of_e4e else "pSp"
    return f"ReStyle {title}" if feedback else title


def _has_offsets(options: dict[Any, Any], head: str) -> bool:
    """Whether the codes are offsets, which only the options tell."""
    if head not in ("pyramid", "flat"):
        return False
    kind = options.get("encoder_type")
    if type(kind) is not str:
        raise CheckpointError(
            "its 'opts' name no 'encoder_type', and the encoders of pSp and e4e have the same "
            "tensors: use the file as its training wrote it"
        )
    return kind in _OFFSETS


def _find_passes(options: dict[Any, Any]) -> int:
    passes = options.get("n_iters_per_batch", _PASSES)
    if type(passes) is not int or not 1 <= passes <= 100:
        raise CheckpointError(f"opts: n_iters_per_batch is {quote(passes)}, expected 1 to 100")
    return passes


def _find_picture(options: dict[Any, Any], in_channels: int) -> dict[str, Any]:
    """What goes in: a photo, a sketch or a label map, and its size."""
    is_car = options.get("dataset_type") == _CARS
    size = {"height": 192, "rows": _CAR_ROWS} if is_car else {}
    if in_channels in (3, 6):
        return {"channels": 3, **size}
    picture = _PICTURES.get(options.get("label_nc", in_channels), "labels")
    expected = {"sketch": in_channels == 1, "labels": 1 < in_channels <= 256}
    if not expected.get(picture):
        raise CheckpointError(
            f"not supported: its encoder sees {in_channels} channels, expected a photo (3 or 6), "
            "a sketch (1) or a label map"
        )
    return {"picture": picture, "channels": in_channels, **size}


def _read_average(average: Any, config: EncoderConfig) -> np.ndarray | None:
    """What is added to the codes, [num_ws, w_dim]."""
    if average is None:
        return None
    tensor = as_tensor("latent_avg", average)
    rows = Modules(tensors={"latent_avg": tensor}).read("latent_avg")
    if rows.shape[-1:] != (config.w_dim,) or rows.ndim > 2:
        raise CheckpointError(f"latent_avg: got shape {list(rows.shape)}, expected rows of a w")
    rows = rows.reshape(-1, config.w_dim)
    if len(rows) != 1 and len(rows) < config.num_ws:
        raise CheckpointError(f"latent_avg: got {len(rows)} rows, expected {config.num_ws}")
    check_values({"latent_avg": rows})
    whole = rows if len(rows) == 1 else rows[: config.num_ws]
    return np.ascontiguousarray(np.broadcast_to(whole, (config.num_ws, config.w_dim)))
