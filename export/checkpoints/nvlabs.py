"""NVlabs' PyTorch pickles -> `Checkpoint`: StyleGAN2 of stylegan2-ada-pytorch and of stylegan3.

The file is one dict of networks (G, D, G_ema), or a generator alone. Each module is a persistent
object with its attributes, tensors and submodules; the source text that it carries is never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stylert.export.checkpoints.allow_list import PersistentObject
from stylert.export.checkpoints.checkpoint import Checkpoint, Source, StyleGAN2Config
from stylert.export.checkpoints.modules import Modules, modules_from_object
from stylert.export.checkpoints.pickle_machine import quoted
from stylert.export.checkpoints.storages import Tensor
from stylert.export.checkpoints.stylegan2_modules import config_from_modules, unknown_arguments
from stylert.export.checkpoints.validation import check_shapes, check_values
from stylert.runtime.errors import CheckpointError

__all__ = ["checkpoint_from_networks", "is_nvlabs"]

ALONE = "the only network"
_KNOWN_CLASSES = frozenset(
    (
        "Generator",
        "SynthesisNetwork",
        "SynthesisBlock",
        "SynthesisLayer",
        "ToRGBLayer",
        "Conv2dLayer",
        "MappingNetwork",
        "FullyConnectedLayer",
    )
)


def is_nvlabs(value: Any) -> bool:
    """Whether an inert pickle is a snapshot of NVlabs' PyTorch code, or one network of it."""
    if type(value) is dict:
        return any(type(network) is PersistentObject for network in value.values())
    return type(value) is PersistentObject


def checkpoint_from_networks(
    value: Any,
    *,
    network: str | None,
    file: str,
    sha256: str,
    num_bytes: int,
    notes: tuple[str, ...] = (),
) -> Checkpoint:
    """Read one generator of a snapshot for which `is_nvlabs` holds.

    Args:
        value: The inert snapshot.
        network: Which network to read, None = the average one, 'G_ema'.
        file: Name of the file.
        sha256: Its hash.
        num_bytes: Its size, which bounds what its tensors may claim.
        notes: What there is to know already.

    Raises:
        CheckpointError: there is no such generator, or it is none that is supported.
    """
    name, chosen = _chosen(value, network)
    modules = modules_from_object(chosen)
    _refuse_other_families(modules, name)
    if modules.num_elements * np.dtype(np.float32).itemsize > 2 * num_bytes:
        raise CheckpointError(f"the tensors claim more data than the {num_bytes} bytes of the file")
    config = config_from_modules(modules)
    tensors, more_notes = _tensors(modules, config)
    check_values(tensors)
    return Checkpoint(
        family="stylegan2",
        config=config,
        tensors=tensors,
        source=Source(file, sha256, num_bytes, _format(modules), name),
        notes=(*notes, *more_notes, *_remarks(modules, config)),
    )


def _chosen(value: Any, network: str | None) -> tuple[str, PersistentObject]:
    """The network to read, and its name."""
    networks = {ALONE: value} if type(value) is PersistentObject else _networks(value)
    default = ALONE if ALONE in networks else "G_ema"
    name = default if network is None else network
    there = ", ".join(f"{key} ({quoted(net.class_name)})" for key, net in networks.items())
    if name not in networks:
        raise CheckpointError(f"no network {quoted(name)} in the file; it has {there}")
    children = networks[name].state.get("_modules")
    if type(children) is not dict or not {"mapping", "synthesis"} <= children.keys():
        raise CheckpointError(f"{quoted(name)} is no generator; the file has {there}")
    return name, networks[name]


def _networks(snapshot: dict[Any, Any]) -> dict[str, PersistentObject]:
    """The first few networks of a snapshot."""
    networks = {
        key: value
        for key, value in snapshot.items()
        if type(value) is PersistentObject and type(key) is str and key.isidentifier()
    }
    return {key: networks[key] for key in list(networks)[:16] if len(key) <= 40}


def _refuse_other_families(modules: Modules, name: str) -> None:
    tensors = modules.tensors
    if "synthesis.input.freqs" in tensors:
        raise CheckpointError("not supported yet: StyleGAN3 (synthesis.input.freqs is there)")
    if "mapping.w_avg" in tensors and len(tensors["mapping.w_avg"].shape) == 2:
        raise CheckpointError("not supported: a w_avg for each class, as StyleGAN-XL has")
    if "synthesis.b4.const" not in tensors:
        raise CheckpointError(f"{quoted(name)} is no StyleGAN2: synthesis.b4.const is missing")


def _tensors(
    modules: Modules, config: StyleGAN2Config
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """All tensors as float32, and a note if one was filled in."""
    filled, notes = _filled(modules, config)
    copies, stored = _split_filter_copies(modules.tensors)
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    shapes |= {name: array.shape for name, array in filled.items()}
    check_shapes(config, shapes)
    tensors = {name: _float32(name, tensor) for name, tensor in stored.items()} | filled
    for name, copy in copies.items():
        original = f"{name.rsplit('.', 2)[0]}.resample_filter"
        if not np.array_equal(_float32(name, copy), tensors[original]):
            raise CheckpointError(f"not supported: {name} differs from {original}")
    return tensors, notes


def _filled(
    modules: Modules, config: StyleGAN2Config
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Tensors that a network may lack, and a note on them."""
    filled: dict[str, np.ndarray] = {}
    for resolution in config.block_resolutions:
        block = f"synthesis.b{resolution}"
        if modules.objects[block].state["_buffers"].get("resample_filter", ...) is None:
            filled[f"{block}.resample_filter"] = np.ones((1, 1), dtype=np.float32)
    if "mapping.w_avg" in modules.tensors:
        return filled, ()
    filled["mapping.w_avg"] = np.zeros(config.w_dim, dtype=np.float32)
    return filled, ("the network has no average w, zeros take its place: do not truncate",)


def _split_filter_copies(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The filters that the layers of a block hold beside the block's own, and all other tensors."""
    layers = ("conv0", "conv1", "skip")
    copies = {
        name: tensor
        for name, tensor in tensors.items()
        if name.endswith(".resample_filter") and name.split(".")[-2] in layers
    }
    return copies, {name: tensor for name, tensor in tensors.items() if name not in copies}


def _float32(name: str, tensor: Tensor) -> np.ndarray:
    try:
        return tensor.to_float32()
    except CheckpointError as error:
        raise CheckpointError(f"{name} {error}") from None


def _format(modules: Modules) -> str:
    """Which repository wrote it: only stylegan3's layers know their number of channels."""
    if "in_channels" in modules.objects["synthesis.b4.conv1"].state:
        return "stylegan3-repository StyleGAN2 pickle"
    return "stylegan2-ada-pytorch pickle"


def _remarks(modules: Modules, config: StyleGAN2Config) -> tuple[str, ...]:
    """What is unusual about the network."""
    remarks = []
    if unknown := unknown_arguments(modules):
        shown = ", ".join(quoted(key) for key in unknown[:8])
        remarks.append(f"arguments of the generator that are not known here: {shown}")
    classes = {module.class_name for module in modules.objects.values()} - _KNOWN_CLASSES
    if classes:
        shown = ", ".join(quoted(name) for name in sorted(classes)[:8])
        remarks.append(f"classes of a fork, read as StyleGAN2's own: {shown}")
    if config.const_shape != (4, 4):
        remarks.append("the image is {} pixels high and {} wide".format(*config.img_shape))
    return tuple(remarks)
