"""Pickled StyleGAN2 networks of all kinds: what is read, and what is refused and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import StyleGAN2Config, read_checkpoint
from stylert.runtime.errors import CheckpointError

Edit = Callable[[Any, Any], object]  # of a network, with a writer

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "conditional": {"c_dim": 3, "embed_features": 7},
    "gray": {"img_channels": 1},
    "rgba": {"img_channels": 4},
    "tall": {"const_shape": (4, 2)},
    "odd": {"const_shape": (5, 3)},
    "one block": {"channels": (6,)},
    "one mapping layer": {"mapping_layers": 1},
    "narrow mapping": {"mapping_features": 5, "z_dim": 9},
    "linear mapping": {"mapping_activation": "linear", "mapping_lr_multiplier": 0.1},
    "resnet": {"architecture": "resnet"},
    "orig": {"architecture": "orig"},
    "swish": {"activation": "swish"},
    "clamp": {"conv_clamp": 256.0},
    "no noise": {"use_noise": False},
    "half": {"channels": (6, 5, 4), "num_fp16_res": 2},
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_config_is_inferred(writer: Any, name: str) -> None:
    config = writer.config(**CONFIGS[name])
    network = writer.generator(config)
    checkpoint = read_checkpoint(writer.snapshot(network))
    assert checkpoint.config == config
    const = network.at("synthesis.b4").parameters["const"]
    np.testing.assert_array_equal(checkpoint.tensors["synthesis.b4.const"], const)


def test_a_rectangle_is_mentioned(writer: Any) -> None:
    path = writer.snapshot(writer.generator(writer.config(const_shape=(4, 2))))
    assert read_checkpoint(path).notes == ("the image is 8 pixels high and 4 wide",)


def test_a_generator_alone(writer: Any) -> None:
    path = writer.file(writer.dump(writer.generator(writer.config())))
    checkpoint = read_checkpoint(path)
    assert checkpoint.source.network == "the only network"
    assert checkpoint.config == writer.config()
    with pytest.raises(CheckpointError, match="no network 'G' in the file"):
        read_checkpoint(path, network="G")


def test_a_snapshot_without_discriminator(writer: Any) -> None:
    network = writer.generator(writer.config())
    assert read_checkpoint(writer.snapshot(network, D=None, augment_pipe=None)).notes == ()


def test_no_average_network(writer: Any) -> None:
    path = writer.file(writer.dump({"G": writer.generator(writer.config()), "G_ema": None}))
    checkpoint = read_checkpoint(path)
    assert checkpoint.source.network == "G"
    assert checkpoint.notes == ("the file has no average generator: 'G' was read",)
    assert read_checkpoint(path, network="G").notes == ()
    with pytest.raises(CheckpointError, match=r"no network 'G_ema'.*; pass network='G'\.$"):
        read_checkpoint(path, network="G_ema")


def test_other_layouts_and_types_of_numbers(writer: Any) -> None:
    network = writer.generator(writer.config())
    conv = network.at("synthesis.b8.conv1").parameters
    expected = conv["weight"]
    last = np.ascontiguousarray(expected.transpose(0, 2, 3, 1))
    elements = np.concatenate([np.zeros(7, np.float32), last.ravel()])
    conv["weight"] = writer.Strided(elements, 7, (5, 5, 3, 3), (45, 1, 15, 5))
    tensors = read_checkpoint(writer.snapshot(network)).tensors
    np.testing.assert_array_equal(tensors["synthesis.b8.conv1.weight"], expected)
    assert tensors["synthesis.b8.conv1.weight"].flags.c_contiguous


@pytest.mark.parametrize(
    ("kind", "dtype"), [("HalfStorage", "f2"), ("DoubleStorage", "f8"), ("FloatStorage", "f4")]
)
def test_floats_of_other_widths(writer: Any, kind: str, dtype: str) -> None:
    network = writer.generator(writer.config())
    const = network.at("synthesis.b4").parameters["const"].astype(dtype)
    stream = writer.torch_stream(const.ravel(), kind=kind)
    storage = writer.Call("torch.storage", "_load_from_bytes", (stream,))
    tensor = writer.Call(
        "torch._utils", "_rebuild_tensor_v2", (storage, 0, (6, 4, 4), (16, 4, 1), False, None)
    )
    parameter = writer.Call("torch._utils", "_rebuild_parameter", (tensor, False, None))
    network.at("synthesis.b4").parameters["const"] = parameter
    read = read_checkpoint(writer.snapshot(network)).tensors["synthesis.b4.const"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, const.astype(np.float32))


def test_no_average_latent(writer: Any) -> None:
    network = writer.generator(writer.config())
    del network.at("mapping").buffers["w_avg"]
    checkpoint = read_checkpoint(writer.snapshot(network))
    assert not checkpoint.tensors["mapping.w_avg"].any()
    assert "do not truncate" in checkpoint.notes[0]


def _set_filters(network: Any, value: Any) -> None:
    for block in network.at("synthesis").modules.values():
        block.buffers["resample_filter"] = value
        for name in ("conv0", "conv1", "skip"):
            if name in block.modules:
                block.modules[name].buffers["resample_filter"] = value


def test_no_filter(writer: Any) -> None:
    network = writer.generator(writer.config())
    _set_filters(network, None)
    tensors = read_checkpoint(writer.snapshot(network)).tensors
    np.testing.assert_array_equal(tensors["synthesis.b8.resample_filter"], [[1.0]])


def test_separable_filter(writer: Any) -> None:
    network = writer.generator(writer.config())
    taps = np.full(12, 1 / 12, dtype=np.float32)
    _set_filters(network, taps)
    tensors = read_checkpoint(writer.snapshot(network)).tensors
    np.testing.assert_array_equal(tensors["synthesis.b8.resample_filter"], taps)


def test_unknown_arguments_and_classes_are_mentioned(writer: Any) -> None:
    network = writer.generator(writer.config())
    network.attributes["_init_kwargs"]["synthesis_kwargs"] = {"glow": 3}
    network.at("synthesis.b8").class_name = "GlowingBlock"
    notes = read_checkpoint(writer.snapshot(network)).notes
    assert notes == (
        "arguments of the generator that are not known here: 'glow'",
        "classes of a fork, read as StyleGAN2's own: 'GlowingBlock'",
    )


def test_channels_are_compared(writer: Any) -> None:
    network = writer.generator(writer.config())
    wide = list(writer.config().channels)
    network.attributes["_init_kwargs"]["synthesis_kwargs"] = {"channel_base": 64, "channel_max": 7}
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(writer.snapshot(network))
    assert "channel_base 64 and channel_max 7 in _init_kwargs make blocks of [7, 7]" in str(
        error.value
    )
    assert f"but the tensors have {wide}" in str(error.value)


def test_positional_arguments_are_compared(writer: Any) -> None:
    network = writer.generator(writer.config())
    network.attributes |= {"_init_kwargs": {}, "_init_args": (8, 0, 8, 8, 3)}
    read_checkpoint(writer.snapshot(network))
    network.attributes["_init_args"] = (8, 0, 8, 16, 3)
    with pytest.raises(CheckpointError, match="img_resolution is 16 in _init_kwargs"):
        read_checkpoint(writer.snapshot(network))


@pytest.mark.parametrize(("resolution", "shape"), [([8, 4], (4, 2)), (8, (4, 2)), (8, (5, 3))])
def test_resolutions_of_forks(writer: Any, resolution: Any, shape: tuple[int, int]) -> None:
    network = writer.generator(writer.config(const_shape=shape))
    network.attributes["img_resolution"] = resolution
    network.attributes["_init_kwargs"]["img_resolution"] = resolution
    assert read_checkpoint(writer.snapshot(network)).config.const_shape == shape


def _argument(**arguments: Any) -> Edit:
    return lambda network, writer: network.attributes["_init_kwargs"].update(arguments)


def _attribute(path: str, **attributes: Any) -> Edit:
    return lambda network, writer: network.at(path).attributes.update(attributes)


def _remove(path: str, kind: str, name: str) -> Edit:
    return lambda network, writer: getattr(network.at(path), kind).pop(name)


def _put(path: str, kind: str, name: str, value: Any) -> Edit:
    return lambda network, writer: getattr(network.at(path), kind).__setitem__(name, value)


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


WRONG: dict[str, tuple[Edit, str]] = {
    "resolution": (
        _argument(img_resolution=64),
        "img_resolution is 64 in _init_kwargs, but the blocks b4..b8 and the constant 4x4 make 8x8",
    ),
    "z_dim": (_argument(z_dim=512), "z_dim is 512 in _init_kwargs, but .* make 8"),
    "c_dim": (_argument(c_dim=2), "c_dim is 2 in _init_kwargs, but .* make 0"),
    "channels": (_argument(img_channels=1), "img_channels is 1 in _init_kwargs, but .* make 3"),
    "layers": (
        _argument(mapping_kwargs={"num_layers": 8}),
        "mapping_kwargs.num_layers is 8 in _init_kwargs, but .* make 2",
    ),
    "clamp": (_argument(conv_clamp=256), "conv_clamp is 256 in _init_kwargs, but .* make None"),
    "half": (
        _argument(synthesis_kwargs={"num_fp16_res": 4}),
        "num_fp16_res is 4 in _init_kwargs, but .* make 0",
    ),
    "architecture": (_argument(architecture="orig"), "architecture is 'orig' in .* make 'skip'"),
    "strange argument": (_argument(w_dim=[8]), "w_dim is a list in"),
    "no arguments": (
        lambda network, writer: network.attributes.update(_init_kwargs=None),
        "_init_args or _init_kwargs",
    ),
    "blocks differ": (
        _attribute("synthesis.b8", architecture="resnet"),
        "not supported: architecture is 'skip' in synthesis.b4, and 'resnet' in synthesis.b8",
    ),
    "activation": (
        _attribute("synthesis.b4.conv1", activation="sigmoid"),
        "not supported: activation is 'sigmoid' in synthesis.b4.conv1, and 'lrelu' in",
    ),
    "mapping activation": (
        lambda network, writer: [
            fc.attributes.update(activation="elu") for fc in network.at("mapping").modules.values()
        ],
        "not supported: mapping_activation 'elu', expected lrelu, relu, swish, linear",
    ),
    "clamp differs": (
        _attribute("synthesis.b8.torgb", conv_clamp=1),
        "not supported: conv_clamp is None in .*, and 1 in synthesis.b8.torgb",
    ),
    "half below full": (_attribute("synthesis.b4", use_fp16=True), "use_fp16 is set in some lower"),
    "gain": (
        _attribute("synthesis.b8.torgb", weight_gain=1.0),
        "not supported: synthesis.b8.torgb.weight_gain is 1.0, expected 0.44",
    ),
    "affine activation": (
        _attribute("synthesis.b8.conv0.affine", activation="relu"),
        "not supported: synthesis.b8.conv0.affine.activation is 'relu', expected linear",
    ),
    "affine bias": (
        _attribute("synthesis.b8.conv0.affine", bias_gain=2),
        "not supported: synthesis.b8.conv0.affine.bias_gain, expected 1",
    ),
    "many blocks": (
        lambda network, writer: network.at("synthesis").modules.update(
            {f"b{i}": writer.Module("Other") for i in range(9000, 9100)}
        ),
        "synthesis has the modules 'b4', 'b8', 'b9000', .* and 94 more, expected b4, b8",
    ),
    "scaling": (_attribute("synthesis.b8.conv0", up=4), "conv0 scales by 4, expected 2"),
    "no attribute": (
        lambda network, writer: network.at("synthesis.b8.conv0").attributes.pop("use_noise"),
        "synthesis.b8.conv0 .'SynthesisLayer'. has no attribute 'use_noise'",
    ),
    "gap": (
        lambda network, writer: network.at("synthesis").modules.update(b32=writer.Module("Other")),
        "synthesis has the modules 'b4', 'b8', 'b32', expected b4, b8, b16",
    ),
    "other mapping": (
        lambda network, writer: network.at("mapping").modules.update(proj=writer.Module("Other")),
        "mapping has the modules 'fc0', 'fc1', 'proj', expected fc0",
    ),
    "missing bias": (_remove("synthesis.b8.conv0", "parameters", "bias"), "conv0.bias is missing"),
    "missing filter": (
        _remove("synthesis.b8", "buffers", "resample_filter"),
        "synthesis.b8.resample_filter is missing",
    ),
    "missing const": (_remove("synthesis.b4", "parameters", "const"), "b4.const is missing"),
    "unexpected": (
        _put("synthesis.b8", "buffers", "alpha", _ones(3)),
        "not supported: synthesis.b8.alpha is unknown to StyleGAN2",
    ),
    "kernel": (
        _put("synthesis.b8.conv1", "parameters", "weight", _ones(5, 5, 5, 5)),
        r"conv1.weight: got shape \[5, 5, 5, 5\], expected \[5, 5, 3, 3\]",
    ),
    "filter shape": (
        _put("synthesis.b8", "buffers", "resample_filter", _ones(2, 3)),
        r"resample_filter has shape \[2, 3\], expected \[t, t\]",
    ),
    "filter sum": (
        lambda network, writer: _set_filters(network, _ones(4, 4)),
        "resample_filter sums to 16, expected 1",
    ),
    "filters differ": (
        _put("synthesis.b8.conv0", "buffers", "resample_filter", np.full((1, 1), 1, np.float32)),
        "conv0.resample_filter differs from synthesis.b8.resample_filter",
    ),
    "average per class": (
        _put("mapping", "buffers", "w_avg", _ones(10, 8)),
        r"mapping.w_avg: got shape \[10, 8\], expected \[8\] as the other tensors have it",
    ),
    "stylegan3": (
        lambda network, writer: network.at("synthesis").modules.update(
            input=writer.Module("Other", buffers={"freqs": _ones(4, 2)})
        ),
        "synthesis has the modules 'b4', 'b8', 'input', expected b4, b8",
    ),
    "infinite": (
        _put("synthesis.b4", "parameters", "const", np.full((6, 4, 4), np.inf, np.float32)),
        "synthesis.b4.const: 96 of 96 values are NaN or infinite",
    ),
    "no tensor": (
        _put("synthesis.b4", "parameters", "const", 3),
        "synthesis.b4.const is no tensor",
    ),
    "no module": (_put("synthesis", "modules", "b8", [1]), "synthesis.b8 is a 'list' object"),
    "strange name": (_put("synthesis", "modules", "a.b", None), "'a.b' in 'synthesis' is no name"),
    "no buffers": (
        lambda network, writer: network.at("synthesis.b8").attributes.update(_buffers=None),
        "has no _buffers",
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_refused(writer: Any, name: str) -> None:
    edit, message = WRONG[name]
    network = writer.generator(writer.config())
    edit(network, writer)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(writer.snapshot(network))
    assert len(str(caught.value).splitlines()) == 1


TENSORS: dict[str, tuple[tuple[Any, ...], str]] = {
    "offset": ((16 * 6, 0, (1,), (1,)), "storage, offset, size or stride"),
    "outside": ((0, 90, (6, 4, 4), (16, 4, 1)), "reaches outside its data"),
    "negative offset": ((0, -1, (6, 4, 4), (16, 4, 1)), "storage, offset, size or stride"),
    "negative stride": ((0, 0, (6, 4, 4), (16, 4, -1)), "storage, offset, size or stride"),
    "overflow": ((0, 0, (6, 4, 4), (2**62, 4, 1)), "storage, offset, size or stride"),
    "huge stride": ((0, 0, (6, 4, 4), (2**47, 4, 1)), "reaches outside its data"),
    "expanded": ((0, 0, (2**15, 2**9, 2**9), (0, 0, 0)), "claim more data than"),
    "repeated": ((0, 0, (7, 4, 4), (0, 4, 1)), "reaches outside its data|shape|num"),
    "ranks differ": ((0, 0, (6, 4, 4), (16, 4)), "storage, offset, size or stride"),
    "many dimensions": ((0, 0, (1,) * 65, (1,) * 65), "storage, offset, size or stride"),
    "no integers": ((0, 0, (6.0, 4, 4), (16, 4, 1)), "storage, offset, size or stride"),
    "empty": ((0, 0, (6, 0, 4), (16, 4, 1)), "const_shape: got 0"),
}


@pytest.mark.parametrize("name", sorted(TENSORS))
def test_tensors_outside_their_storage(writer: Any, name: str) -> None:
    (extra, offset, shape, stride), message = TENSORS[name]
    network = writer.generator(writer.config())
    stream = writer.torch_stream(_ones(96))
    storage = extra or writer.Call("torch.storage", "_load_from_bytes", (stream,))
    arguments = (storage, offset, shape, stride, False, None)
    tensor = writer.Call("torch._utils", "_rebuild_tensor_v2", arguments)
    network.at("synthesis.b4").parameters["const"] = tensor
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(writer.snapshot(network))


STREAMS: dict[str, tuple[dict[str, Any], str]] = {
    "magic": ({"magic": 7}, "unknown format"),
    "big endian": ({"little_endian": False}, "not little-endian"),
    "numel": ({"numel": 97}, "claims 97 elements of float32, and 384 bytes"),
    "negative": ({"numel": -1}, "described as 'storage'"),
    "keys": ({"keys": ["0", "1"]}, "other storages than its value uses"),
    "kind": ({"kind": "Int7Storage"}, "refuses 'torch.Int7Storage'"),
    "quantised": ({"kind": "QInt8Storage"}, "b4.const: holds int8, expected floats"),
    "complex": ({"kind": "ComplexFloatStorage"}, "claims 96 elements of complex64"),
    "integers": ({"kind": "IntStorage"}, "b4.const: holds int32, expected floats"),
    "no storage": ({"described": "0", "keys": []}, "not described as one"),
}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_storages(writer: Any, name: str) -> None:
    changes, message = STREAMS[name]
    network = writer.generator(writer.config())
    stream = writer.torch_stream(_ones(96), **changes)
    storage = writer.Call("torch.storage", "_load_from_bytes", (stream,))
    arguments = (storage, 0, (6, 4, 4), (16, 4, 1), False, None)
    tensor = writer.Call("torch._utils", "_rebuild_tensor_v2", arguments)
    network.at("synthesis.b4").parameters["const"] = tensor
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(writer.snapshot(network))


def test_one_storage_for_many_tensors_is_bounded(writer: Any) -> None:
    """A thousand tensors over one storage are a thousand times its size."""
    network = writer.generator(writer.config())
    stream = writer.torch_stream(_ones(4096))
    shared = writer.Call("torch.storage", "_load_from_bytes", (stream,))
    first = writer.operations(shared) + b"r\x99\x00\x00\x00"
    for i in range(1000):
        storage = writer.Raw(first if i == 0 else b"j\x99\x00\x00\x00")
        arguments = (storage, 0, (4096,), (1,), False, None)
        tensor = writer.Call("torch._utils", "_rebuild_tensor_v2", arguments)
        network.at("synthesis.b4").buffers[f"t{i}"] = tensor
    with pytest.raises(CheckpointError, match="claim more data than the"):
        read_checkpoint(writer.snapshot(network))


def test_a_module_in_itself(writer: Any) -> None:
    """The dict of submodules is there before the module, which can join it later."""
    network = writer.generator(writer.config())
    keep, recall = b"r\x88\x00\x00\x00", b"j\x88\x00\x00\x00"
    network.modules = writer.Raw(writer.operations(network.modules) + keep)
    whole = writer.operations(network) + keep.replace(b"\x88", b"\x89")
    join = recall + writer.operations("itself") + recall.replace(b"\x88", b"\x89") + b"s0"
    with pytest.raises(CheckpointError, match="the modules are no tree: 'itself' contains itself"):
        read_checkpoint(writer.snapshot(writer.Raw(whole + join)))


def test_module_source_is_not_kept(writer: Any) -> None:
    """conftest writes a source that would end the process."""
    checkpoint = read_checkpoint(writer.snapshot(writer.generator(writer.config())))
    assert isinstance(checkpoint.config, StyleGAN2Config)
    assert "ran" not in repr(checkpoint.notes)
