"""NVlabs' PyTorch pickles -> `Checkpoint`: StyleGAN2 and StyleGAN3, of both repositories.

Each module is a persistent object with its attributes, tensors and submodules; the source text that
it carries is never run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.nvlabs.mapping import drop_idle_table
from stylert.export.checkpoints.nvlabs.modules import Modules, Reading, walk_modules
from stylert.export.checkpoints.nvlabs.snapshots import choose_network, find_networks
from stylert.export.checkpoints.nvlabs.stylegan2 import read_stylegan2
from stylert.export.checkpoints.nvlabs.stylegan3 import read_stylegan3
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.export.checkpoints.validation import check_shapes, check_size, check_values
from stylert.runtime.errors import CheckpointError

__all__ = ["is_nvlabs", "read_modules", "read_networks"]


# A tensor that only its generators have, and the reader of each family.
_READERS: dict[str, Callable[[Modules], Reading]] = {
    "synthesis.b4.const": read_stylegan2,
    "synthesis.input.freqs": read_stylegan3,
}


def is_nvlabs(value: Any) -> bool:
    """Whether the value of a pickle is a snapshot of NVlabs' PyTorch code, or one network of it."""
    return bool(find_networks(value))


def read_networks(value: Any, network: str | None, source: Source) -> Checkpoint:
    """Read one generator of a snapshot for which `is_nvlabs` holds.

    Args:
        value: The snapshot.
        network: Which network to read, None = the average one, else the only one.
        source: The file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: there is no such generator, or it is none that is supported.
    """
    networks = find_networks(value)
    name, choice = choose_network(networks, network)
    checkpoint = read_modules(walk_modules(networks[name]), name, source)
    return replace(checkpoint, notes=(*choice, *checkpoint.notes))


def read_modules(modules: Modules, name: str, source: Source) -> Checkpoint:
    """Read the modules of one generator.

    Args:
        modules: What `walk_modules` or `assume_modules` gave.
        name: What the file calls the network.
        source: The file, whose size bounds what its tensors may claim.

    Raises:
        CheckpointError: it is no generator that is supported.
    """
    reader = _find_reader(modules, name)
    check_size(modules.num_elements, source)
    drop_idle_table(modules)
    reading = reader(modules)
    tensors, more_notes = _read_tensors(modules, reading)
    check_values(tensors)
    return Checkpoint(
        config=reading.config,
        tensors=tensors,
        source=replace(source, format=reading.format, network=name),
        notes=(*more_notes, *_list_remarks(modules, reading)),
    )


def _find_reader(modules: Modules, name: str) -> Callable[[Modules], Reading]:
    """The reader of the network's family."""
    for tensor, reader in _READERS.items():
        if tensor in modules.tensors:
            return reader
    raise CheckpointError(
        f"{quote(name)} is no StyleGAN2 (synthesis.b4.const is missing), "
        "and no StyleGAN3 (synthesis.input.freqs is missing)"
    )


def _read_tensors(
    modules: Modules, reading: Reading
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """All tensors as float32, and a note if one was filled in."""
    filled = dict(reading.filled)
    notes: tuple[str, ...] = ()
    if "mapping.w_avg" not in modules.tensors:
        shape = reading.config.list_mapping_shapes()["mapping.w_avg"]
        filled["mapping.w_avg"] = np.zeros(shape, dtype=np.float32)
        notes = ("the network has no average w, zeros take its place: do not truncate",)
    others = reading.copies.keys() | reading.unused
    shapes = {name: t.shape for name, t in modules.tensors.items() if name not in others}
    check_shapes(reading.config, shapes | {name: array.shape for name, array in filled.items()})
    tensors = {name: modules.read(name) for name in shapes} | filled
    for name, original in reading.copies.items():
        if not np.array_equal(modules.read(name), tensors[original]):
            raise CheckpointError(f"not supported: {name} differs from {original}")
    return tensors, notes


def _list_remarks(modules: Modules, reading: Reading) -> tuple[str, ...]:
    """What is unusual about the network."""
    remarks = []
    if reading.unknown_arguments:
        shown = quote_some(reading.unknown_arguments)
        remarks.append(f"arguments of the generator that are not known here: {shown}")
    classes = {module.class_name for module in modules.objects.values()} - reading.classes
    if classes:
        shown = quote_some(sorted(classes))
        remarks.append(f"classes of a fork, read as {reading.config.title}'s own: {shown}")
    return (*remarks, *reading.notes)
