"""TensorFlow pickles of StyleGAN 1, StyleGAN2 and StyleGAN2-ADA -> `Checkpoint`, in NumPy alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.safe_pickle.quoting import name_some, quote
from stylert.export.checkpoints.tensorflow.arguments import (
    check_agreement,
    check_fixed,
    find_unknown,
)
from stylert.export.checkpoints.tensorflow.mapping import list_mapping_arguments
from stylert.export.checkpoints.tensorflow.networks import (
    TensorFlowGenerator,
    find_generator,
    is_tensorflow,
)
from stylert.export.checkpoints.tensorflow.stylegan1 import convert_stylegan1, read_stylegan1
from stylert.export.checkpoints.tensorflow.stylegan2 import (
    convert_stylegan2,
    make_resample_filters,
    read_stylegan2,
)
from stylert.export.checkpoints.tensorflow.variables import Conversion, convert_variables
from stylert.export.checkpoints.validation import check_shapes, check_size, check_values
from stylert.runtime.errors import CheckpointError

__all__ = ["is_tensorflow", "read_generator", "read_tensorflow"]

# Functions of the official code that build generators and their components.
_KNOWN_FUNCTIONS = frozenset(
    ("G_style", "G_main", "G_mapping", "G_synthesis", "G_synthesis_stylegan2")
)
_UNUSED = re.compile(r"lod|synthesis/lod|synthesis/ToRGB_lod[1-9][0-9]*/(?:weight|bias)")


def read_tensorflow(value: Any, network: str | None, source: Source) -> Checkpoint:
    """Read one generator of a pickle for which `is_tensorflow` holds.

    Args:
        value: The value of the pickle.
        network: Which network to read, None = the average one, 'Gs', else the only one.
        source: The file, whose size bounds what its variables may claim.

    Raises:
        CheckpointError: there is no such generator, or it is none that is supported.
    """
    return read_generator(find_generator(value, network), source)


def read_generator(generator: TensorFlowGenerator, source: Source) -> Checkpoint:
    """Read one generator.

    Args:
        generator: Its arguments and variables.
        source: The file, whose size bounds what its variables may claim.

    Raises:
        CheckpointError: it is none that is supported.
    """
    check_size(sum(array.size for array in generator.variables.values()), source)
    check_fixed(generator)
    config, conversions, filters = _read_family(generator)
    _check_arguments(generator, config)
    _check_all_used(generator, config, conversions)
    tensors = convert_variables(generator.variables, conversions) | filters
    check_shapes(config, {name: tensor.shape for name, tensor in tensors.items()})
    check_values(tensors)
    title = f"TensorFlow {config.title} pickle, version {generator.version}"
    return Checkpoint(
        config=config,
        tensors=tensors,
        source=replace(source, format=title, network=generator.name),
        notes=_list_remarks(generator, config, source.file),
    )


def _read_family(
    generator: TensorFlowGenerator,
) -> tuple[Config, dict[str, Conversion], dict[str, np.ndarray]]:
    """The configuration, what the tensors come from, and tensors that are no variables."""
    if generator.has("/StyleMod/weight"):
        config1 = read_stylegan1(generator)
        return config1, convert_stylegan1(generator, config1), {}
    if generator.has("/mod_weight"):
        config2 = read_stylegan2(generator)
        filters = make_resample_filters(generator, config2)
        return config2, convert_stylegan2(generator, config2), filters
    raise CheckpointError(
        "not supported: a synthesis network without styles (neither StyleMod of StyleGAN 1 nor "
        "mod_weight of StyleGAN2 is there)"
    )


def _check_arguments(generator: TensorFlowGenerator, config: Config) -> None:
    found = list_mapping_arguments(config)
    found |= {"num_channels": config.img_channels, "use_noise": config.use_noise}
    if isinstance(config, StyleGAN2Config):
        found["architecture"] = config.architecture
    check_agreement(generator, found)
    # Forks with a rectangular constant give one side, or the number of the last block.
    sides = {*config.img_shape, 4 << (len(config.block_names) - 1)}
    resolution = generator.arguments.get("resolution")
    if resolution is not None and (type(resolution) is not int or resolution not in sides):
        height, width = config.img_shape
        raise CheckpointError(
            f"resolution is {quote(resolution)} in static_kwargs, but the variables make "
            f"{height}x{width}"
        )


def _check_all_used(
    generator: TensorFlowGenerator, config: Config, conversions: dict[str, Conversion]
) -> None:
    used = {conversion.variable for conversion in conversions.values()}
    unknown = [
        name for name in generator.variables if name not in used and not _UNUSED.fullmatch(name)
    ]
    if unknown:
        shown = name_some(unknown)
        raise CheckpointError(f"not supported: variables unknown to {config.title}: {shown}")


def _list_remarks(generator: TensorFlowGenerator, config: Config, file: str) -> tuple[str, ...]:
    """What is unusual about the network."""
    remarks = []
    if generator.name == "G":
        remarks.append("G is the network in training, not the average one (Gs)")
    if unknown := find_unknown(generator):
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        remarks.append(
            f"arguments of the generator that are not known here were ignored: "
            f"{', '.join(unknown[:8])}{more}"
        )
    if functions := sorted(set(generator.functions) - _KNOWN_FUNCTIONS):
        remarks.append(f"built by functions of a fork, read as official: {', '.join(functions)}")
    height, width = config.img_shape
    if height != width:
        remarks.append(f"the image is {height} pixels high and {width} wide")
    if (height, width) == (512, 512) and _is_named_after_cars(generator, file):
        remarks.append(
            "its name says 'car': the pictures of the official LSUN Car networks are 512x384, the "
            "rows 64 to 448 of 512x512"
        )
    return tuple(remarks)


def _is_named_after_cars(generator: TensorFlowGenerator, file: str) -> bool:
    texts = [file, *(value for value in generator.arguments.values() if type(value) is str)]
    words = {word for text in texts for word in re.split(r"[^a-z]+", text[:200].lower())}
    return not words.isdisjoint(("car", "cars"))
