"""Pickled StyleGAN3 networks: what is read, and what is refused and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import StyleGAN3Config, read_checkpoint, write_native
from stylert.export.checkpoints.configs import read_config
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import make_untrained
from stylert.runtime.errors import CheckpointError

Edit = Callable[[Any, Any], object]  # of a network, with a writer

LATENTS: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "mapping_features": 8}
SMALL = StyleGAN3Design(
    img_resolution=32,
    channel_base=128,
    channel_max=6,
    num_layers=4,
    num_fp16_res=1,
    margin_size=2,
)
RADIAL = StyleGAN3Design(**{**vars(SMALL), "conv_kernel": 1, "use_radial_filters": True})
FIRST, SECOND, LAST = "synthesis.L0_20_6", "synthesis.L1_36_6", "synthesis.L4_32_3"


def small(design: StyleGAN3Design = SMALL, **fields: Any) -> StyleGAN3Config:
    return design.make_config(**{"c_dim": 0, "conv_clamp": 256.0, **LATENTS, **fields})


def generator(
    writer: Any, config: StyleGAN3Config, design: StyleGAN3Design = SMALL, **arguments: Any
) -> Any:
    """A generator of random weights, with the attributes that its class has."""
    root = writer.Module("Generator")
    for name, tensor in make_untrained("small", config=config).tensors.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            module = module.modules.setdefault(part, writer.Module(_class_of(part)))
        module.buffers[leaf] = tensor
    sizes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    image = {"img_resolution": max(config.img_shape), "img_channels": config.img_channels}
    widths = {"channel_base": design.channel_base, "channel_max": design.channel_max}
    root.attributes = {**sizes, **image, "num_ws": config.num_ws}
    root.attributes["_init_kwargs"] = {**sizes, **image, **widths, **arguments}
    _fully_connected(root, config)
    if config.class_features:
        tensors = root.modules["mapping"].modules["embed"].buffers
        root.modules["mapping"].modules["embed"] = embedding(writer, tensors["weight"])
    synthesis = root.modules["synthesis"]
    synthesis.attributes = {
        "num_layers": len(config.layers) - 1,
        "num_fp16_res": design.num_fp16_res,
        "output_scale": config.output_scale,
        "layer_names": list(config.block_names),
    }
    synthesis.modules["input"].attributes = {
        "size": pair(writer, *config.input_shape[::-1]),
        "sampling_rate": float(config.input_rate),
        "bandwidth": config.input_bandwidth,
    }
    for layer in config.layers:
        synthesis.modules[layer.name].attributes = {
            "is_torgb": layer.is_torgb,
            "use_fp16": layer.half,
            "in_size": pair(writer, *layer.in_shape[::-1]),
            "out_size": pair(writer, *layer.out_shape[::-1]),
            "conv_kernel": layer.kernel,
            "conv_clamp": config.conv_clamp,
            "up_factor": layer.up,
            "down_factor": layer.down,
            "up_taps": layer.up_taps or 1,
            "down_taps": layer.down_taps or 1,
            "padding": list(layer.padding),
        }
    return root


def embedding(writer: Any, weight: np.ndarray, **attributes: Any) -> Any:
    """A torch.nn.Embedding, which is no persistent object."""
    module = {"_parameters": {"weight": weight}, "_buffers": {}, "_modules": {}}
    state = writer.operations({**module, "max_norm": None, **attributes})
    return writer.Raw(b"ctorch.nn.modules.sparse\nEmbedding\n)\x81" + state + b"b")


def add_head(network: Any) -> None:
    """Make a network one of StyleGAN-XL that has a head: from layer 2 on, with the number 3."""
    synthesis = network.modules["synthesis"]
    names = {}
    for name in synthesis.attributes["layer_names"]:
        number, _, sizes = name[1:].partition("_")
        names[name] = name if int(number) < 2 else f"L{int(number) + 1}_{sizes}"
    synthesis.modules = {names.get(name, name): m for name, m in synthesis.modules.items()}
    synthesis.attributes |= {"layer_names": list(names.values()), "num_layers": 5}
    network.class_name = "SuperresGenerator"
    network.attributes |= {
        "head_layer_names": list(names.values())[2:],
        "num_layers": 5,
        "num_fp16_res": 4,  # of the head; the stem's layers were told for its own pixels
        "channel_base": 7,
        "_init_kwargs": {
            "path_stem": "stem.pkl",
            "head_layers": 2,
            "up_factor": 2,
            "img_resolution": 32,
        },
    }


def _class_of(name: str) -> str:
    classes = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}
    classes |= {"input": "SynthesisInput"}
    return classes.get(name, "SynthesisLayer" if name[0] == "L" else "FullyConnectedLayer")


def _fully_connected(root: Any, config: StyleGAN3Config) -> None:
    mapping = root.modules["mapping"].modules.items()
    layers = [(name, fc, config.mapping_lr_multiplier, "lrelu") for name, fc in mapping]
    for part in root.modules["synthesis"].modules.values():
        layers.append(("affine", part.modules["affine"], 1, "linear"))
    for name, fc, lr, activation in layers:
        if name == "embed":
            lr, activation = 1, "linear"
        if name == "embed_proj":
            lr = 1
        gain = float(lr * fc.buffers["weight"].shape[1] ** -0.5)
        fc.attributes = {"weight_gain": gain, "bias_gain": lr, "activation": activation}


def pair(writer: Any, *sides: int) -> Any:
    """A side as the original layers hold it: an array of width and height."""
    array = np.array(sides if len(sides) == 2 else sides * 2)
    dtype = writer.operations(writer.Call("numpy", "dtype", ("i8", False, True)))
    dtype += writer.operations((3, "<", None, None, None, -1, -1, 0)) + b"b"
    empty = writer.Call(
        "numpy._core.multiarray", "_reconstruct", (writer.Raw(b"cnumpy\nndarray\n"), (0,), b"b")
    )
    state = (1, array.shape, writer.Raw(dtype), False, array.tobytes())
    return writer.Raw(writer.operations(empty) + writer.operations(state) + b"b")


# --- What is read.


@pytest.mark.parametrize("name", ["sg3-t-64", "sg3-r-64"])
def test_goldens_are_what_they_were_made_with(goldens: Path, name: str) -> None:
    facts = json.loads((goldens / f"{name}.json").read_text())
    made = facts["init_kwargs"]
    fields = {key: made[key] for key in made.keys() & set(StyleGAN3Design.__dataclass_fields__)}
    checkpoint = read_checkpoint(goldens / f"{name}.pkl")
    assert checkpoint.config == StyleGAN3Design(**fields).make_config(
        z_dim=made["z_dim"],
        c_dim=made["c_dim"],
        w_dim=made["w_dim"],
        mapping_layers=made["mapping_kwargs"]["num_layers"],
        mapping_features=made["w_dim"],
        conv_clamp=256.0,
    )
    assert checkpoint.config.num_ws == facts["num_ws"]
    assert checkpoint.source.format == "stylegan3 pickle"
    assert checkpoint.noise == {}
    assert checkpoint.notes == ()


CONFIGS: dict[str, tuple[StyleGAN3Design, dict[str, Any]]] = {
    "plain": (SMALL, {}),
    "radial": (RADIAL, {}),
    "conditional": (SMALL, {"c_dim": 3, "embed_features": 8}),
    "no clamp": (SMALL, {"conv_clamp": None}),
    "one mapping layer": (SMALL, {"mapping_layers": 1}),
    "gray": (StyleGAN3Design(**{**vars(SMALL), "img_channels": 1}), {}),
    "no half": (StyleGAN3Design(**{**vars(SMALL), "num_fp16_res": 0}), {}),
    "no filters": (StyleGAN3Design(**{**vars(SMALL), "lrelu_upsampling": 1}), {}),
    "half as wide": (StyleGAN3Design(**{**vars(SMALL), "square": False}), {}),
    "table of classes": (SMALL, {"c_dim": 3, "embed_features": 8, "class_features": 5}),
    "table of one": (SMALL, {"c_dim": 1, "embed_features": 2, "class_features": 1}),
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_config_is_inferred(writer: Any, name: str) -> None:
    design, fields = CONFIGS[name]
    config = small(design, **fields)
    checkpoint = read_checkpoint(writer.snapshot(generator(writer, config, design)))
    assert checkpoint.config == config
    assert read_config("stylegan3", json.loads(json.dumps(config.to_json()))) == config
    native = writer.folder / "native.safetensors"
    write_native(checkpoint, native)
    assert read_checkpoint(native).config == config


def test_halves_are_those_of_the_highest_rates(writer: Any) -> None:
    config = read_checkpoint(writer.snapshot(generator(writer, small()))).config
    assert isinstance(config, StyleGAN3Config)
    assert config.rates == (16, 32, 32, 32, 32)
    assert [layer.half for layer in config.layers] == [False, True, True, True, True]
    assert config.native_half_blocks == config.block_names[1:]
    unhalved = small(StyleGAN3Design(img_resolution=256, num_fp16_res=0, channel_max=4))
    assert not any(layer.half for layer in unhalved.layers)
    assert unhalved.native_half_blocks == unhalved.block_names[3:]  # of rates 32 to 256


def test_no_average_latent(writer: Any) -> None:
    network = generator(writer, small())
    del network.at("mapping").buffers["w_avg"]
    checkpoint = read_checkpoint(writer.snapshot(network))
    assert not checkpoint.tensors["mapping.w_avg"].any()
    assert "do not truncate" in checkpoint.notes[0]


def test_a_transform_of_the_checkpoint_is_kept_and_mentioned(writer: Any) -> None:
    network = generator(writer, small())
    moved = np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], np.float32)
    network.at("synthesis.input").buffers["transform"] = moved
    checkpoint = read_checkpoint(writer.snapshot(network))
    np.testing.assert_array_equal(checkpoint.tensors["synthesis.input.transform"], moved)
    assert checkpoint.notes == (
        "the checkpoint has a transform of its own, which all its pictures have",
    )


def test_a_table_of_classes_that_is_not_used(writer: Any) -> None:
    """Unconditional networks of StyleGAN-XL have one, too."""
    network = generator(writer, small())
    plain = read_checkpoint(writer.snapshot(network))
    network.at("mapping").modules["embed"] = embedding(writer, np.ones((10, 5), np.float32))
    checkpoint = read_checkpoint(writer.snapshot(network))
    assert checkpoint.config == plain.config
    assert checkpoint.tensors.keys() == plain.tensors.keys()
    assert checkpoint.notes == ()


def test_no_average_latent_of_the_classes(writer: Any) -> None:
    design, fields = CONFIGS["table of classes"]
    network = generator(writer, small(design, **fields))
    del network.at("mapping").buffers["w_avg"]
    assert read_checkpoint(writer.snapshot(network)).tensors["mapping.w_avg"].shape == (3, 8)


@pytest.mark.parametrize("name", ["plain", "radial", "table of classes"])
def test_a_head_behind_a_stem(writer: Any, name: str) -> None:
    """Its numbers leave some out, and its arguments tell the head alone."""
    design, fields = CONFIGS[name]
    network = generator(writer, small(design, **fields))
    add_head(network)
    checkpoint = read_checkpoint(writer.snapshot(network))
    names = ("L0_20_6", "L1_36_6", "L3_36_4", "L4_32_4", "L5_32_3")
    assert checkpoint.config.block_names == names
    assert checkpoint.config.num_ws == 6
    assert checkpoint.config.c_dim == fields.get("c_dim", 0)
    assert checkpoint.notes == ()
    native = writer.folder / "native.safetensors"
    write_native(checkpoint, native)
    assert read_checkpoint(native).config == checkpoint.config


def test_unknown_arguments_and_classes_are_mentioned(writer: Any) -> None:
    network = generator(writer, small(), glow=3, margin_size=2, magnitude_ema_beta=0.999)
    network.at(LAST).class_name = "GlowingLayer"
    assert read_checkpoint(writer.snapshot(network)).notes == (
        "arguments of the generator that are not known here: 'glow'",
        "classes of a fork, read as StyleGAN3's own: 'GlowingLayer'",
    )


def test_arguments_that_agree(writer: Any) -> None:
    agreeing = {
        "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.01},
        "num_layers": 4,
        "num_critical": 2,
        "num_fp16_res": 1,
        "conv_clamp": 256,
        "conv_kernel": 3,
        "use_radial_filters": False,
        "output_scale": 0.25,
    }
    network = generator(writer, small(), **agreeing)
    assert read_checkpoint(writer.snapshot(network)).notes == ()


# --- What is refused.


def _argument(**arguments: Any) -> Edit:
    return lambda network, writer: network.attributes["_init_kwargs"].update(arguments)


def _attribute(path: str, **attributes: Any) -> Edit:
    return lambda network, writer: network.at(path).attributes.update(attributes)


def _size(path: str, name: str, *sides: int) -> Edit:
    return lambda network, writer: network.at(path).attributes.update({name: pair(writer, *sides)})


def _put(path: str, name: str, value: Any) -> Edit:
    return lambda network, writer: network.at(path).buffers.__setitem__(name, value)


def _remove(path: str, name: str) -> Edit:
    return lambda network, writer: network.at(path).buffers.pop(name)


def _number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


WRONG: dict[str, tuple[Edit, str]] = {
    # Arguments against tensors and layers.
    "z_dim": (_argument(z_dim=512), "z_dim is 512 in _init_kwargs, but .* make 8"),
    "resolution": (_argument(img_resolution=64), "img_resolution is 64 in .* make 32"),
    "not square": (_argument(square=False), "square is False in _init_kwargs, but .* make True"),
    "tall": (_argument(img_resolution=[64, 32]), "img_resolution is a list in .* make 32"),
    "layers": (_argument(num_layers=14), "num_layers is 14 in _init_kwargs, but .* make 4"),
    "num_ws": (
        lambda network, writer: network.attributes.update(num_ws=16),
        "num_ws is 16 in the generator's attributes, but .* make 6",
    ),
    "kernel argument": (_argument(conv_kernel=1), "conv_kernel is 1 in .* make 3"),
    "radial": (_argument(use_radial_filters=True), "use_radial_filters is True in .* make False"),
    "clamp": (_argument(conv_clamp=None), "conv_clamp is None in .* make 256"),
    "mapping": (_argument(mapping_kwargs={"num_layers": 8}), "num_layers is 8 in .* make 2"),
    "half": (_argument(num_fp16_res=4), "num_fp16_res is 4 in _init_kwargs, but the layers'"),
    "strange half": (_argument(num_fp16_res="4"), "num_fp16_res is '4' in _init_kwargs"),
    "negative half": (_argument(num_fp16_res=-(10**9)), "num_fp16_res is -1000000000 in"),
    "scale": (_argument(output_scale=1.0), "output_scale is 1.0 in _init_kwargs, .* make 0.25"),
    "no scale": (_attribute("synthesis", output_scale=0), "output_scale: got 0, expected a number"),
    "channels": (
        _argument(channel_max=8),
        r"128, channel_max 8 in _init_kwargs make layers of \[8, 8, .*\] .* have \[6, 6, ",
    ),
    "strange channels": (_argument(channel_max="x"), "channel_max 'x' in _init_kwargs make"),
    "no channels": (_argument(channel_base=None), "channel_base None, channel_max 6 in"),
    "huge channels": (_argument(channel_base=2**120, channel_max=2**120), "in _init_kwargs make"),
    "cutoff": (_argument(first_cutoff=0), "first_cutoff 0 in _init_kwargs make layers of"),
    "critical": (_argument(num_critical=4), "num_critical 4 in _init_kwargs make layers of"),
    # The structure.
    "other module": (
        lambda network, writer: network.at("synthesis").modules.update(b4=writer.Module("Other")),
        "synthesis has the modules .*'b4'.*, expected input and its layer_names 'L0_20_6'",
    ),
    "lost layer": (
        lambda network, writer: network.at("synthesis").modules.pop(LAST.split(".")[1]),
        "synthesis has the modules .*, expected input and its layer_names",
    ),
    "no names": (_attribute("synthesis", layer_names=None), "its layer_names None"),
    "numbered": (_attribute("synthesis", layer_names=[1, 2]), "its layer_names a list"),
    "order": (
        _attribute("synthesis", layer_names=[*small().block_names[::-1]]),
        r"L4_32_3 takes 4 channels of 32 x 32 pixels, but what is before it makes 6 of 20 x 20",
    ),
    "no input": (
        lambda network, writer: network.at("synthesis").modules.pop("input"),
        r"'G_ema' is no StyleGAN2 \(.*\), and no StyleGAN3 \(synthesis.input.freqs is missing",
    ),
    "no affine": (
        lambda network, writer: network.at(FIRST).modules.clear(),
        f"{FIRST}.affine.weight, {FIRST}.affine.bias are missing",
    ),
    # The layers.
    "no attribute": (
        lambda network, writer: network.at(FIRST).attributes.pop("up_factor"),
        r"L0_20_6 \('SynthesisLayer'\) has no attribute 'up_factor'",
    ),
    "up": (_attribute(FIRST, up_factor=2.0), f"{FIRST}.up_factor is 2.0, expected an integer"),
    "no up": (_attribute(FIRST, up_factor=0), "up: got 0, expected 1 to 16"),
    "half flag": (_attribute(FIRST, use_fp16=1), "use_fp16 is 1, expected True or False"),
    "torgb": (_attribute(FIRST, is_torgb=True), "the last layer, and only it, is ToRGB"),
    "rectangle": (
        _size(FIRST, "out_size", 20, 24),
        r"'L0_20_6' makes 20 x 20 pixels of 20 x 20, not 24 x 20",
    ),
    "three sides": (
        lambda network, writer: network.at(FIRST).attributes.update(in_size=[20, 20]),
        "in_size is a list, expected width and height",
    ),
    "no sides": (
        _size(FIRST, "in_size", 20, 0),
        rf"not supported: {FIRST}.in_size is \[20, 0\], expected width and height",
    ),
    "size": (
        _size(FIRST, "out_size", 22),
        "'L0_20_6' makes 20 x 20 pixels of 20 x 20, not 22 x 22",
    ),
    "in size": (_size(SECOND, "in_size", 18), r"'L1_36_6' makes 32 x 32 pixels of 18 x 18, not"),
    "input size": (
        _size("synthesis.input", "size", 18),
        r"L0_20_6 takes 6 channels of 20 x 20 pixels",
    ),
    "padding": (
        _attribute(FIRST, padding=[9, 8, 9, 7]),
        r"'L0_20_6' makes 19 x 20 pixels of 20 x 20, not 20 x 20",
    ),
    "three pads": (_attribute(FIRST, padding=[9, 8, 9]), "padding is a list, expected left, right"),
    "no padding": (_attribute(FIRST, padding=9), "padding is 9, expected left, right"),
    "cropped away": (_attribute(FIRST, padding=[-99, -99] * 2), "L0_20_6' makes -"),
    "clamps differ": (_attribute(FIRST, conv_clamp=1), "conv_clamp is 1 in .*, and 256.0 in"),
    "kernel": (_attribute(FIRST, conv_kernel=1), "conv_kernel differs from the shape of its weigh"),
    "wide kernel": (
        lambda network, writer: (
            _attribute(FIRST, conv_kernel=5)(network, writer),
            _put(FIRST, "weight", np.ones((6, 6, 5, 5), np.float32))(network, writer),
        ),
        "not supported: kernel 5, expected 1, 3",
    ),
    "gain": (_attribute(f"{FIRST}.affine", weight_gain=1.0), "affine.weight_gain is 1.0, expected"),
    "bandwidth": (_attribute("synthesis.input", bandwidth=8.0), "input_bandwidth 8: expected less"),
    "no bandwidth": (
        _attribute("synthesis.input", bandwidth=None),
        "bandwidth: got None, expected",
    ),
    "rate": (_attribute("synthesis.input", sampling_rate=16.5), "sampling_rate is 16.5"),
    # The tensors.
    "missing filter": (
        _remove(FIRST, "up_filter"),
        f"{FIRST}.up_filter is missing, expected 12 taps",
    ),
    "no filter": (_put(FIRST, "down_filter", None), "down_filter is missing, expected 12 taps"),
    "short filter": (
        _put(FIRST, "up_filter", np.full(6, 1 / 6, np.float32)),
        r"up_filter has the shape \[6\], expected 12 taps",
    ),
    "2-D up filter": (
        _put(FIRST, "up_filter", np.full((12, 12), 1 / 144, np.float32)),
        r"up_filter: got shape \[12, 12\], expected \[12\]",
    ),
    "oblong filter": (
        _put(FIRST, "down_filter", np.full((12, 6), 1 / 72, np.float32)),
        r"down_filter: got shape \[12, 6\], expected \[12, 12\]",
    ),
    "filter sum": (
        _put(FIRST, "up_filter", np.full(12, 0.1, np.float32)),
        f"not supported: {FIRST}.up_filter sums to 1.2, expected 1",
    ),
    "extra filter": (
        _put(LAST, "up_filter", np.full(3, 1 / 3, np.float32)),
        rf"{LAST}.up_filter has the shape \[3\], expected 1 taps",
    ),
    "magnitude": (_put(FIRST, "magnitude_ema", _number(0)), "magnitude_ema is 0, expected a num"),
    "negative": (_put(FIRST, "magnitude_ema", _number(-1)), "magnitude_ema is -1, expected a"),
    "nan": (_put(FIRST, "magnitude_ema", _number(np.nan)), "1 of 1 values are NaN or infinite"),
    "magnitudes": (
        _put(FIRST, "magnitude_ema", np.ones(6, np.float32)),
        r"magnitude_ema: got shape \[6\], expected \[\]",
    ),
    "missing magnitude": (_remove(FIRST, "magnitude_ema"), f"{FIRST}.magnitude_ema is missing"),
    "phases": (_put("synthesis.input", "phases", np.ones(5, np.float32)), "phases: got shape"),
    "transform": (_remove("synthesis.input", "transform"), "input.transform is missing"),
    "fewer channels": (
        _put(SECOND, "weight", np.ones((6, 5, 3, 3), np.float32)),
        r"L1_36_6 takes 5 channels of 20 x 20 pixels, but what is before it makes 6 of 20 x 20",
    ),
    "unexpected": (_put(FIRST, "alpha", _number(1)), f"{FIRST}.alpha is unknown to StyleGAN3"),
    # Other families.
    "average per class": (
        _put("mapping", "w_avg", np.ones((10, 8), np.float32)),
        r"mapping.w_avg: got shape \[10, 8\], expected \[8\] as the other tensors have it",
    ),
    "embedding": (
        lambda network, writer: network.at("mapping").modules.update(
            embed=writer.Raw(b"ctorch.nn.modules.sparse\nEmbedding\n)\x81")
        ),
        "not supported: mapping.embed is a 'Embedding' object",
    ),
}

# Of a network with a table of classes.
WRONG_TABLES: dict[str, tuple[Edit, str]] = {
    "one average": (
        _put("mapping", "w_avg", np.ones(8, np.float32)),
        r"mapping.w_avg: got shape \[8\], expected \[3, 8\] as the other tensors have it",
    ),
    "activation": (
        _attribute("mapping.embed_proj", activation="linear"),
        "mapping.embed_proj.activation is 'linear', expected lrelu",
    ),
    "bias": (_attribute("mapping.embed_proj", bias_gain=2), "embed_proj.bias_gain, expected 1"),
    "gain": (_attribute("mapping.embed_proj", weight_gain=2.0), "embed_proj.weight_gain is 2.0, "),
    "no table": (
        lambda network, writer: network.at("mapping").modules.pop("embed"),
        "mapping.embed.weight is missing",
    ),
    "a scaled table": (
        lambda network, writer: network.at("mapping").modules.update(
            embed=embedding(writer, np.ones((3, 5), np.float32), max_norm=1.0)
        ),
        "not supported: mapping.embed.max_norm is 1.0, expected None",
    ),
    "another width": (
        lambda network, writer: network.at("mapping").modules.update(
            embed=embedding(writer, np.ones((3, 6), np.float32))
        ),
        r"mapping.embed_proj.weight: got shape \[8, 5\], expected \[8, 6\]",
    ),
    "classes": (_argument(c_dim=4), "c_dim is 4 in _init_kwargs, but .* make 3"),
    "nan": (
        lambda network, writer: network.at("mapping").modules.update(
            embed=embedding(writer, np.full((3, 5), np.nan, np.float32))
        ),
        "mapping.embed.weight: 15 of 15 values are NaN",
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_refused(writer: Any, name: str) -> None:
    edit, message = WRONG[name]
    network = generator(writer, small())
    edit(network, writer)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(writer.snapshot(network))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", sorted(WRONG_TABLES))
def test_tables_that_are_refused(writer: Any, name: str) -> None:
    edit, message = WRONG_TABLES[name]
    design, fields = CONFIGS["table of classes"]
    network = generator(writer, small(design, **fields))
    edit(network, writer)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(writer.snapshot(network))
    assert len(str(caught.value).splitlines()) == 1


def outcome(path: Path) -> str:
    try:
        tensors = read_checkpoint(path).tensors
    except CheckpointError as error:
        return "refused" if len(str(error).splitlines()) == 1 else "refused with many lines"
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    return "read"


@pytest.mark.parametrize("name", ["plain", "table of classes"])
def test_changed_bytes(writer: Any, name: str) -> None:
    """The result is a checkpoint or a CheckpointError of one line, and nothing else."""
    design, fields = CONFIGS[name]
    path = writer.snapshot(generator(writer, small(design, **fields)))
    data = path.read_bytes()
    random = np.random.RandomState(0)
    outcomes = set()
    for _ in range(60):
        changed = bytearray(data)
        changed[random.randint(len(data))] = random.randint(256)
        path.write_bytes(changed)
        outcomes.add(outcome(path))
    assert outcomes == {"read", "refused"}


# --- The configuration.

DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no layers": (lambda data: data.update(layers=[]), "layers: expected 1 to 64 of them"),
    "text": (lambda data: data.update(layers="L0"), "layers: expected a list of records"),
    "names only": (lambda data: data.update(layers=["L0"]), "layers: expected a list of records"),
    "no kernel": (lambda data: data["layers"][0].pop("kernel"), "a layer .* is incomplete"),
    "a field more": (lambda data: data["layers"][0].update(glow=1), "a layer .* is incomplete"),
    "noise": (lambda data: data.update(use_noise=True), "not supported: use_noise True"),
    "name": (lambda data: data["layers"][0].update(name="x/../y"), "should be named L0_20_6"),
    "name of no text": (lambda data: data["layers"][0].update(name=[1]), "should be named L0_20_6"),
    "padding": (lambda data: data["layers"][0].update(padding=3), "padding: expected four integer"),
    "pads": (
        lambda data: data["layers"][0].update(padding=["a", 1, 1, 1]),
        "padding: got 'a', expected",
    ),
    "shape": (lambda data: data["layers"][0].update(in_shape=[20]), "in_shape: got"),
    "side": (lambda data: data.update(input_shape=[20, 0]), "input_shape: got 0, expected 1 to"),
    "number": (lambda data: data["layers"][1].update(name="L0_36_6"), "should be named L1_36_6"),
    "zeros": (lambda data: data["layers"][1].update(name="L01_36_6"), "should be named L1_36_6"),
    "table": (lambda data: data.update(class_features=3), "class_features: expected 0 without cl"),
    "flag": (lambda data: data["layers"][0].update(half="yes"), "not supported: half 'yes'"),
    "radial": (
        lambda data: data["layers"][4].update(down_radial=True),
        "a radial down_filter without taps",
    ),
    "channels": (lambda data: data.update(img_channels=4), "ToRGB makes 3 channels, expected 4"),
    "torgb": (lambda data: data["layers"].pop(), "the last layer, and only it, is ToRGB"),
    "rate": (lambda data: data.update(input_rate=0), "input_rate: got 0"),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_configurations_that_are_none(name: str) -> None:
    damage, message = DAMAGED[name]
    data = json.loads(json.dumps(small().to_json()))
    damage(data)
    with pytest.raises(CheckpointError, match=message):
        StyleGAN3Config.from_json(data)


def test_layers_that_are_no_records() -> None:
    with pytest.raises(CheckpointError, match="layers: expected StyleGAN3Layer records"):
        StyleGAN3Config(**{**vars(small()), "layers": ({},)})


def test_summary() -> None:
    rows = small(RADIAL).summarize()
    assert rows["network"] == "StyleGAN3-R, 1x1 convolutions, radial filters"
    assert small().summarize()["network"] == "StyleGAN3-T, 3x3 convolutions, separable filters"
    assert rows["image"] == "32 x 32, 3 channels"
    assert rows["latents"] == "z 8, w 8, 6 ws"
    assert rows["noise"] == "no"
    assert rows["channels"] == "6, 6, 4, 4, 3"


def test_multiply_adds_by_hand() -> None:
    """The input's matrix at 20 x 20; convolutions at what they make; affine layers."""
    convolutions = 9 * (2 * 6 * 6 * 22**2 + 6 * 4 * 38**2 + 4 * 4 * 38**2) + 4 * 3 * 32**2
    affine = 8 * (4 + 6 + 6 + 6 + 4 + 4)
    expected = {"mapping": 2 * 8 * 8, "synthesis": 6 * 6 * 20**2 + convolutions + affine}
    assert small().count_multiply_adds() == expected


def test_multiply_adds_of_a_table_of_classes() -> None:
    """The table is looked up; its vector goes into the first layer beside z."""
    design, fields = CONFIGS["table of classes"]
    config = small(design, **fields)
    assert config.count_multiply_adds()["mapping"] == 16 * 8 + 8 * 8
    assert config.summarize()["classes"] == "3, each with a mean w"


def test_multiply_adds_of_half_the_width() -> None:
    design, _ = CONFIGS["half as wide"]
    convolutions = 9 * (2 * 36 * 22 * 12 + 24 * 38 * 20 + 16 * 38 * 20) + 4 * 3 * 32 * 16
    affine = 8 * (4 + 6 + 6 + 6 + 4 + 4)
    expected = 6 * 6 * 20 * 10 + convolutions + affine
    assert small(design).count_multiply_adds()["synthesis"] == expected
