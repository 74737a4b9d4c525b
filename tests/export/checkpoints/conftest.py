"""Writes pickles as NVlabs' tools do, byte by byte: no torch, no pickle module."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import StyleGAN2Config

GOLDENS = Path(__file__).parents[2] / "goldens"
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64


@dataclass(frozen=True)
class Raw:
    """Operations as they are."""

    operations: bytes


@dataclass(frozen=True)
class Call:
    """A global, called."""

    module: str
    name: str
    arguments: tuple[Any, ...] = ()


@dataclass
class Module:
    """One persistent object; tests change it before it is written."""

    class_name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    buffers: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def at(self, path: str) -> Module:
        module = self
        for name in path.split("."):
            module = module.modules[name]
        return module


@dataclass(frozen=True)
class Strided:
    """A tensor with a layout of one's own choice over its storage."""

    elements: np.ndarray
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def operations(value: Any) -> bytes:
    """The pickle operations that push a value."""
    match value:
        case Raw():
            return value.operations
        case Call(module, name, arguments):
            return f"c{module}\n{name}\n".encode() + operations(arguments) + b"R"
        case Module():
            return operations(_persistent(value))
        case np.ndarray():
            value = np.ascontiguousarray(value).reshape(value.shape)
            stride = tuple(step // value.itemsize for step in value.strides)
            return operations(Strided(value.ravel(), 0, value.shape, stride))
        case Strided(elements, offset, shape, stride):
            storage = Call("torch.storage", "_load_from_bytes", (torch_stream(elements),))
            arguments = (storage, offset, shape, stride, False, Call("collections", "OrderedDict"))
            return operations(Call("torch._utils", "_rebuild_tensor_v2", arguments))
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(operations, value)) + b"t"
        case list():
            return b"](" + b"".join(map(operations, value)) + b"e"
        case dict():
            return b"}(" + b"".join(operations(x) for pair in value.items() for x in pair) + b"u"
    raise TypeError(type(value))


def dump(value: Any) -> bytes:
    """A whole pickle."""
    return b"\x80\x04" + operations(value) + b"."


def torch_stream(elements: np.ndarray, *, kind: str = "FloatStorage", **changes: Any) -> bytes:
    """One storage as the old torch.save writes it."""
    numel = changes.get("numel", elements.size)
    described = Raw(
        operations(("storage", Raw(f"ctorch\n{kind}\n".encode()), "0", "cpu", numel, None)) + b"Q"
    )
    parts = (
        changes.get("magic", 0x1950A86A20F9469CFC6C),
        1001,
        {"protocol_version": 1001, "little_endian": changes.get("little_endian", True)},
        changes.get("described", described),
        changes.get("keys", ["0"]),
    )
    return b"".join(map(dump, parts)) + struct.pack("<q", numel) + elements.tobytes()


def _persistent(module: Module) -> Call:
    state = {
        "training": False,
        "_parameters": module.parameters,
        "_buffers": module.buffers,
        "_modules": module.modules,
        "_init_args": (),
        "_init_kwargs": {},
        **module.attributes,
    }
    meta = {
        "type": "class",
        "version": 6,
        "module_src": "raise SystemExit('ran')",
        "class_name": module.class_name,
        "state": state,
    }
    return Call("torch_utils.persistence", "_reconstruct_persistent_obj", (meta,))


def small_config(**changes: Any) -> StyleGAN2Config:
    fields: dict[str, Any] = {
        "z_dim": 8,
        "c_dim": 0,
        "w_dim": 8,
        "img_channels": 3,
        "const_shape": (4, 4),
        "channels": (6, 5),
        "mapping_layers": 2,
        "mapping_features": 8,
    }
    return StyleGAN2Config(**(fields | changes))


def generator(config: StyleGAN2Config) -> Module:
    """A generator of random weights, with the attributes that its class has."""
    random = np.random.RandomState(0)
    root = Module("Generator")
    for name, shape in config.list_shapes().items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            module = module.modules.setdefault(part, Module(_class_of(part)))
        tensor = random.randn(*shape).astype(np.float32) if shape else np.float32(random.randn())
        kind = module.buffers if leaf in ("w_avg", "noise_const") else module.parameters
        kind[leaf] = np.asarray(tensor, dtype=np.float32)
    _attributes(root, config)
    return root


def _class_of(name: str) -> str:
    classes = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork", "torgb": "ToRGBLayer"}
    classes |= {"conv0": "SynthesisLayer", "conv1": "SynthesisLayer", "skip": "Conv2dLayer"}
    return classes.get(name, "SynthesisBlock" if name[1:].isdigit() else "FullyConnectedLayer")


def _attributes(root: Module, config: StyleGAN2Config) -> None:
    sizes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    image = {"img_resolution": max(config.img_shape), "img_channels": config.img_channels}
    root.attributes = {**sizes, **image, "_init_kwargs": {**sizes, **image, "synthesis_kwargs": {}}}
    for name, fc in root.modules["mapping"].modules.items():
        lr = 1 if name == "embed" else config.mapping_lr_multiplier
        activation = "linear" if name == "embed" else config.mapping_activation
        _fully_connected(fc, lr, activation)
    blocks = root.modules["synthesis"].modules
    for i, block in enumerate(blocks.values()):
        half = len(blocks) - i <= config.num_fp16_res
        block.attributes = {"architecture": config.architecture, "use_fp16": half}
        block.buffers["resample_filter"] = FILTER
        for name, layer in block.modules.items():
            layer.attributes["conv_clamp"] = config.conv_clamp
            if name != "torgb":
                layer.attributes["up"] = 1 if name == "conv1" else 2
                layer.buffers["resample_filter"] = FILTER
            if name in ("conv0", "conv1"):
                layer.attributes["use_noise"] = config.use_noise
                layer.attributes["activation"] = config.activation
            else:
                wide_in = layer.parameters["weight"].shape[1]
                layer.attributes["weight_gain"] = float(wide_in**-0.5)
                layer.attributes["activation"] = "linear"
            if name != "skip":
                _fully_connected(layer.modules["affine"], 1, "linear")


def _fully_connected(layer: Module, lr: float, activation: str) -> None:
    wide_in = layer.parameters["weight"].shape[1]
    gains = {"weight_gain": float(lr * wide_in**-0.5), "bias_gain": lr}
    layer.attributes = {"activation": activation, **gains}


class Writer:
    """What tests write pickles with."""

    Raw = Raw
    Call = Call
    Module = Module
    Strided = Strided
    FILTER = FILTER
    dump = staticmethod(dump)
    operations = staticmethod(operations)
    torch_stream = staticmethod(torch_stream)
    config = staticmethod(small_config)
    generator = staticmethod(generator)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, data: bytes, name: str = "file.pkl") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def snapshot(self, network: Any, **others: Any) -> Path:
        return self.file(dump({"training_set_kwargs": {}, "G_ema": network, **others}))


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture(scope="session")
def goldens() -> Path:
    return GOLDENS
