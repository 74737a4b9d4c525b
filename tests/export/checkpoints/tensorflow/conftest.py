"""Writes TensorFlow pickles of StyleGAN 1 and 2, byte by byte: no TensorFlow, no pickle module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import (
    Checkpoint,
    Config,
    StyleGAN1Config,
    StyleGAN2Config,
    read_checkpoint,
)
from stylert.export.models.mapping import MappingNetwork

Arrays = dict[str, np.ndarray]


# --- From tensors back to variables, as section 1.2 of the facts has them.


def variables_of(config: Config, tensors: Mapping[str, np.ndarray]) -> Arrays:
    """The variables that a TensorFlow network of these tensors has."""
    found = {"dlatent_avg": tensors["mapping.w_avg"], "lod": np.float32(0)}
    stylegan1 = isinstance(config, StyleGAN1Config)
    noises = iter(range(99))
    for name, tensor in tensors.items():
        part, *path, leaf = name.split(".")
        if part == "mapping" and path:
            layer = path[0].replace("fc", "Dense").replace("embed", "LabelEmbed")
            root2 = math.sqrt(2) if stylegan1 else 1
            value = tensor.T if leaf == "weight" else tensor * np.float32(root2)
            found[f"mapping/{layer}/{leaf}"] = value
        elif part == "synthesis" and leaf != "resample_filter":
            found |= _synthesis_variable(path, leaf, tensor, noises, stylegan1)
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _synthesis_variable(
    path: list[str], leaf: str, tensor: np.ndarray, noises: Any, stylegan1: bool
) -> Arrays:
    if leaf == "const":
        return {"synthesis/4x4/Const/const": tensor[None]}
    if leaf == "noise_const":
        return {f"synthesis/noise{next(noises)}": tensor[None, None]}
    block, layer, *affine = path if len(path) > 1 else ["b0", *path]
    names = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}
    if block == "b4":
        names |= {"conv0": "Const", "conv1": "Conv"}
    scope = f"{block[1:]}x{block[1:]}/{names[layer]}"
    scope = "ToRGB_lod0" if stylegan1 and layer == "torgb" else scope
    if affine:
        less = 0 if stylegan1 or leaf == "weight" else 1
        leaf = f"StyleMod/{leaf}" if stylegan1 else f"mod_{leaf}"
        return {f"synthesis/{scope}/{leaf}": tensor.T - np.float32(less)}
    if leaf == "weight":
        flipped = not stylegan1 and layer in ("conv0", "skip")
        tensor = (tensor[:, :, ::-1, ::-1] if flipped else tensor).transpose(2, 3, 1, 0)
    if stylegan1 and leaf == "noise_strength":
        leaf = "Noise/weight"
    return {f"synthesis/{scope}/{leaf}": tensor}


def arguments_of(config: Config) -> dict[str, Any]:
    """What the official code makes such a network with."""
    given = {
        "resolution": max(config.img_shape),
        "num_channels": config.img_channels,
        "label_size": config.c_dim,
        "latent_size": config.z_dim,
        "dlatent_size": config.w_dim,
        "mapping_layers": config.mapping_layers,
        "mapping_fmaps": config.mapping_features,
        "fmap_base": 64,
    }
    if isinstance(config, StyleGAN2Config):
        given["architecture"] = config.architecture
    return given


# --- A file of such networks.


@dataclass
class Network:
    """One pickled network; tests change it before it is written."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def components(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state["components"]
        return found


def network(name: str, variables: Arrays, arguments: Mapping[str, Any], **changes: Any) -> Network:
    state: dict[str, Any] = {
        "version": 4,
        "name": name,
        "static_kwargs": dict(arguments),
        "components": {},
        "build_module_src": "raise SystemExit('ran')",
        "build_func_name": {"mapping": "G_mapping", "synthesis": "G_synthesis"}.get(name, "G_main"),
        "variables": list(variables.items()),
    }
    return Network(name, state | changes)


def random_tensors(config: Config) -> Arrays:
    random = np.random.RandomState(1)
    return {
        name: np.asarray(random.randn(*shape), np.float32)
        for name, shape in config.list_shapes().items()
    }


def stylegan1(**changes: Any) -> StyleGAN1Config:
    fields: dict[str, Any] = {"z_dim": 8, "c_dim": 0, "w_dim": 6, "img_channels": 3}
    fields |= {"mapping_layers": 2, "mapping_features": 7}
    return StyleGAN1Config(**(fields | {"const_shape": (4, 4), "channels": (6, 5)} | changes))


def generator(
    config: Config, tensors: Arrays | None = None, name: str = "Gs", **arguments: Any
) -> Network:
    """A generator, by default of random weights; `arguments` of None are left away."""
    variables = variables_of(config, random_tensors(config) if tensors is None else tensors)
    given = {k: v for k, v in (arguments_of(config) | arguments).items() if v is not ...}
    made = network(name, {k: v for k, v in variables.items() if "/" not in k}, given)
    for part in ("synthesis", "mapping"):
        own = {k[len(part) + 1 :]: v for k, v in variables.items() if k.startswith(f"{part}/")}
        made.components[part] = network(part, own, given)
    return made


def changed(made: Network, variable: str, value: Any) -> Network:
    """The generator with another value of a variable, or with ... without it."""
    part, _, own = variable.partition("/")
    owner = made.components[part] if own else made
    rest = [pair for pair in owner.state["variables"] if pair[0] != (own or variable)]
    owner.state["variables"] = rest if value is ... else [*rest, (own or variable, value)]
    return made


def mapping_of(checkpoint: Checkpoint) -> MappingNetwork:
    """The reference of the mapping network, which all families share."""
    model = MappingNetwork(checkpoint.config)
    state = {
        name.removeprefix("mapping."): torch.from_numpy(tensor)
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("mapping.")
    }
    model.load_state_dict(state, strict=True)
    return model.requires_grad_(False)


class Pickles:
    """What tests write TensorFlow pickles with."""

    generator = staticmethod(generator)
    network = staticmethod(network)
    changed = staticmethod(changed)
    random_tensors = staticmethod(random_tensors)
    variables_of = staticmethod(variables_of)
    arguments_of = staticmethod(arguments_of)
    mapping_of = staticmethod(mapping_of)

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def config(self, family: str, **changes: Any) -> Config:
        """The configuration of a small generator, of 'stylegan1' or 'stylegan2'."""
        if family == "stylegan1":
            return stylegan1(**changes)
        config: Config = self.writer.config(**{"mapping_features": 7, **changes})
        return config

    def operations(self, value: Any) -> Any:
        """The same value for the other writer, with networks and arrays as raw operations."""
        raw, call = self.writer.Raw, self.writer.Call
        push: Callable[[Any], bytes] = self.writer.operations
        if isinstance(value, Network):
            made = b"cdnnlib.tflib.network\nNetwork\n)\x81"
            return raw(made + push(self.operations(value.state)) + b"b")
        if isinstance(value, (np.ndarray, np.generic)):
            code = value.dtype.str[1:]
            dtype = push(call("numpy", "dtype", (code, 0, 1)))
            dtype += push((3, "<", None, None, None, -1, -1, 0)) + b"b"
            if value.ndim == 0:
                scalar = call("numpy.core.multiarray", "scalar", (raw(dtype), value.tobytes()))
                return scalar
            kind = raw(b"cnumpy\nndarray\n")
            made = push(call("numpy.core.multiarray", "_reconstruct", (kind, (0,), b"b")))
            return raw(made + push((1, value.shape, raw(dtype), False, value.tobytes())) + b"b")
        if isinstance(value, dict):
            return {key: self.operations(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.operations(item) for item in value)
        return value

    def data(self, value: Any) -> bytes:
        data: bytes = self.writer.dump(self.operations(value))
        return data

    def path(self, value: Any, name: str = "network.pkl") -> Path:
        path: Path = self.writer.file(self.data(value), name)
        return path

    def read(self, value: Any, **options: Any) -> Checkpoint:
        return read_checkpoint(self.path(value), **options)


@pytest.fixture
def pickles(writer: Any) -> Pickles:
    return Pickles(writer)
