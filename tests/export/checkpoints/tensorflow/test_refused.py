"""What is said of arguments, variables and states that cannot be read, and of gadgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.errors import CheckpointError

FAMILIES = ("stylegan1", "stylegan2")


def test_unknown_arguments_are_kept_in_a_note(pickles: Any) -> None:
    given: dict[str, Any] = {"attention": [32, 64], "flavour": "x" * 500, "a\nb": None}
    harmless = {"fused_modconv": True, "dlatent_avg_beta": None, "structure": "auto"}
    harmless |= {"randomize_noise": False, "conditioning": "none", "truncation_psi": 0.5}
    (note,) = pickles.read(
        pickles.generator(pickles.config("stylegan2"), **given, **harmless)
    ).notes
    assert note.startswith("arguments of the generator that are not known here were ignored: ")
    assert "attention=[32, 64]" in note
    assert "flavour='xxx" in note
    assert r"a\nb=None" in note
    assert len(note) < 400
    many = {f"option{i}": i for i in range(20)}
    (note,) = pickles.read(pickles.generator(pickles.config("stylegan2"), **many)).notes
    assert note.endswith("option7=7 and 12 more")


def test_functions_of_a_fork_are_noted(pickles: Any) -> None:
    made = pickles.generator(pickles.config("stylegan2"))
    made.components["synthesis"].state["build_func_name"] = "G_synthesis_mine"
    notes = pickles.read(made).notes
    assert notes == ("built by functions of a fork, read as official: G_synthesis_mine",)


@pytest.mark.parametrize(
    ("name", "pixels", "noted"),
    [
        ("stylegan2-car-config-f.pkl", 512, True),
        ("karras2019stylegan-cars-512x384.pkl", 512, True),
        ("stylegan2-car-config-f.pkl", 256, False),
        ("scarf.pkl", 512, False),
    ],
)
def test_letter_boxed_cars(pickles: Any, name: str, pixels: int, noted: bool) -> None:
    blocks = pixels.bit_length() - 2
    config = pickles.config("stylegan2", channels=(1,) * blocks)
    notes = read_checkpoint(pickles.path(pickles.generator(config), name)).notes
    assert [("512x384" in note) for note in notes] == [True] * noted


REFUSED_ARGUMENTS: dict[str, tuple[Any, str]] = {
    "use_pixel_norm": (True, "not supported: use_pixel_norm True, expected False"),
    "use_instance_norm": (False, "not supported: use_instance_norm False, expected True"),
    "use_styles": (False, "not supported: use_styles False, expected True"),
    "const_input_layer": (False, "not supported: const_input_layer False, expected True"),
    "use_wscale": (False, "not supported: use_wscale False"),
    "normalize_latents": (False, "not supported: normalize_latents False, expected True"),
    "blur_filter": ([1, 1], r"not supported: blur_filter \[1, 1\], expected \[1, 2, 1\]"),
    "dtype": ("float16", "not supported: dtype 'float16', expected 'float32'"),
    "nonlinearity": ("tanh", "not supported: activation 'tanh'"),
    "mapping_nonlinearity": ("tanh", "not supported: mapping_activation 'tanh'"),
    "mapping_lrmul": ("a", "mapping_lrmul is 'a' in static_kwargs, expected a number"),
    "resolution": (64, "resolution is 64 in static_kwargs, but the variables make 8x8"),
    "num_channels": (4, "num_channels is 4 in static_kwargs, but the variables make 3"),
    "label_size": (3, "label_size is 3 in static_kwargs, but the variables make 0"),
    "mapping_layers": (8, "mapping_layers is 8 in static_kwargs, but the variables make 2"),
    "use_noise": (False, "use_noise is False in static_kwargs, but the variables make True"),
    "dlatent_broadcast": (18, "dlatent_broadcast is 18 in static_kwargs"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", REFUSED_ARGUMENTS)
def test_refused_arguments(pickles: Any, key: str, family: str) -> None:
    value, message = REFUSED_ARGUMENTS[key]
    config = pickles.config(family)
    with pytest.raises(CheckpointError, match=message) as caught:
        pickles.read(pickles.generator(config, **{key: value}))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architecture", "orig", "architecture is 'orig' in static_kwargs, but the var.* 'skip'"),
        ("num_fp16_res", -1, "num_fp16_res is -1 in static_kwargs"),
        ("conv_clamp", 0, "conv_clamp: got 0.0, expected a number above 0"),
    ],
)
def test_refused_arguments_of_stylegan2(pickles: Any, key: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        pickles.read(pickles.generator(pickles.config("stylegan2"), **{key: value}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fused_scale", "x", "not supported: fused_scale 'x', expected auto, True, False"),
        ("mapping_nonlinearity", "swish", "not supported: mapping_activation 'swish'"),
    ],
)
def test_refused_arguments_of_stylegan1(pickles: Any, key: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        pickles.read(pickles.generator(pickles.config("stylegan1"), **{key: value}))


def test_progressive_growing(pickles: Any) -> None:
    made = pickles.generator(pickles.config("stylegan2"))
    pickles.changed(made, "synthesis/ToRGB_lod0/weight", np.ones((1, 1, 5, 3)))
    with pytest.raises(CheckpointError, match=r"not supported: progressive growing \(it has ToRGB"):
        pickles.read(made)
    growing = "not supported: progressive growing had not finished .lod is 2.5, expected 0"
    for variable in ("lod", "synthesis/lod"):
        made = pickles.changed(pickles.generator(pickles.config("stylegan1")), "lod", ...)
        with pytest.raises(CheckpointError, match=growing):
            pickles.read(pickles.changed(made, variable, np.float32(2.5)))
    pickles.read(
        pickles.changed(
            pickles.generator(pickles.config("stylegan1"), structure="fixed"),
            "lod",
            np.float32(2.5),
        )
    )
    pickles.read(
        pickles.changed(
            pickles.generator(pickles.config("stylegan1")), "synthesis/lod", np.float32(2.5)
        )
    )  # not used


@pytest.mark.parametrize("family", FAMILIES)
def test_each_variable_is_needed(pickles: Any, family: str) -> None:
    config = pickles.config(family)
    names = [
        name
        for name in pickles.variables_of(config, pickles.random_tensors(config))
        if name != "lod"
    ]
    assert len(names) > 20
    for name in names:
        with pytest.raises(CheckpointError, match="Cannot read") as caught:
            pickles.read(pickles.changed(pickles.generator(config), name, ...))
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        missing = f"the variable {name} is missing"
        if name == "mapping/Dense1/weight":  # one layer less is a network, too
            missing = "mapping_layers is 2 in static_kwargs, but the variables make 1"
        assert missing in message


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "synthesis/8x8/Conv1/weight",
            np.ones((3, 3, 5, 4)),
            r"got shape \[4, 5, 3, 3\], expected",
        ),
        ("synthesis/8x8/Conv1/weight", np.ones((5, 5)), r"got shape \[5, 5\], expected other dim"),
        ("synthesis/noise0", np.ones((2, 1, 4, 4)), r"noise0: got shape \[2, 1, 4, 4\], expected"),
        ("synthesis/noise0", np.ones((1, 1, 4, 5)), r"noise_const: got shape \[4, 5\], expected"),
        ("synthesis/noise0", np.ones((1, 1, 4, 4), np.int32), "noise0 holds int32, expected float"),
        ("synthesis/noise0", "text", "noise0 is 'text', expected numbers"),
        ("synthesis/noise0", None, "noise0 is None, expected numbers"),
        ("synthesis/noise0", np.full((1, 1, 4, 4), np.nan), "16 of 16 values are NaN or infinite"),
        ("synthesis/noise0", np.full((1, 1, 4, 4), 1e300), "16 of 16 values are NaN or infinite"),
        ("synthesis/4x4/Const/const", np.ones((2, 6, 4, 4)), r"got shape \[2, 6, 4, 4\]"),
        ("synthesis/32x32/a", np.ones(3), "has the blocks 4x4, 8x8, 32x32, expected 4x4, 8x8, 16"),
        ("synthesis/8x8/Extra/a", np.ones(3), "unknown to StyleGAN2: synthesis/8x8/Extra/a"),
        ("dlatent_avg", np.ones((5, 8)), r"mapping.w_avg: got shape \[5, 8\], expected \[8\]"),
        ("a\nb", np.ones(3), "a variable of the network 'Gs' is no name and value"),
        ("mapping/LabelConcat/weight", np.ones((5, 8)), "8 of them for the label: none are left"),
    ],
)
def test_wrong_variables(pickles: Any, variable: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        pickles.read(
            pickles.changed(pickles.generator(pickles.config("stylegan2")), variable, value)
        )
    assert len(str(caught.value).splitlines()) == 1


def test_wrong_states(pickles: Any) -> None:
    def refuses(message: str, **changes: Any) -> None:
        made = pickles.generator(pickles.config("stylegan2"))
        made.state |= changes
        made.state = {key: value for key, value in made.state.items() if value is not ...}
        with pytest.raises(CheckpointError, match=message) as caught:
            pickles.read(made)
        assert len(str(caught.value).splitlines()) == 1

    refuses("the network 'Gs' has no 'variables'", variables=...)
    refuses("the network 'Gs' has no 'static_kwargs'", static_kwargs=...)
    refuses("the network 'Gs' has no 'version'", version=...)
    refuses("not supported: version 6 of the TensorFlow networks, expected 2 to 5", version=6)
    refuses("the network 'Gs' has '4' as its 'version', expected a int", version="4")
    refuses("'Gs' is no StyleGAN generator", components=...)
    refuses("'Gs' is no StyleGAN generator", components={"mapping": 1, "synthesis": None})
    refuses("a variable of the network 'Gs' is no name and value", variables=[("lod",)])
    refuses("the variable lod is there twice", variables=[("lod", 0.0), ("lod", 0.0)])
    one = ("mapping/Dense0/bias", 0.0)
    refuses("the variable mapping/Dense0/bias is there twice", variables=[one])
    refuses("the network 'Gs' has an argument named 3", static_kwargs={3: 4})
    plain = pickles.network("synthesis", {"4x4/Const/const": np.ones(3)}, {})
    parts = {"mapping": pickles.network("mapping", {}, {}), "synthesis": plain}
    refuses("not supported: a synthesis network without styles", components=parts)
    for version in (2, 3, 4, 5):
        made = pickles.generator(pickles.config("stylegan2"))
        made.state["version"] = version
        assert f"version {max(version, 4)}" in pickles.read(made).source.format
    with pytest.raises(CheckpointError, match="'network0' is no StyleGAN generator"):
        pickles.read(
            pickles.writer.Raw(b"cdnnlib.tflib.network\nNetwork\n)\x81")
        )  # no state at all


def test_one_array_many_times(pickles: Any) -> None:
    """Variables that share their data must not ask for more memory than the file is big."""
    big = pickles.writer.operations(pickles.operations(np.ones((4, 250), np.float32)))
    names = [f"v{i}" for i in range(20)]
    get = pickles.writer.Raw(b"j\xe7\x03\x00\x00")
    pairs = [
        (name, get if i else pickles.writer.Raw(big + b"r\xe7\x03\x00\x00"))
        for i, name in enumerate(names)
    ]
    made = pickles.generator(pickles.config("stylegan2"))
    made.state["variables"] = made.state["variables"] + pairs
    with pytest.raises(CheckpointError, match="the tensors claim more data than the"):
        pickles.read(made)


@pytest.mark.parametrize(
    "place",
    ["variables", "static_kwargs", "build_module_src", "name", "version", "components", "key"],
)
@pytest.mark.parametrize("part", ["Gs", "G", "D", "mapping", "synthesis"])
def test_gadgets_anywhere(
    pickles: Any, part: str, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    networks = {
        name: pickles.generator(pickles.config("stylegan2"), name=name) for name in ("G", "D", "Gs")
    }
    target = networks.get(part) or networks["Gs"].components[part]
    gadget = pickles.writer.Call("posix", "system", ("touch PWNED",))
    state = target.state
    if place == "variables":
        state[place] = [*state[place][:-1], ("extra", gadget)]
    elif place == "key":
        state["extra"] = gadget
    else:
        state[place] = {"a": gadget} if isinstance(state[place], dict) else gadget
    if part in ("G", "D"):  # beside the generator
        assert "'posix.system'" in pickles.read(tuple(networks.values())).notes[-1]
    else:
        with pytest.raises(CheckpointError, match=r"'posix\.system'") as caught:
            pickles.read(tuple(networks.values()))
        assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["network.pkl"]


STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**100, 1e308, float("nan"), "", "a\nb" * 1000, (), [], {}, [[]] * 20),
    *(
        {"a": {}},
        np.float32(np.nan),
        np.ones((1, 1), np.int8),
        np.full(3, 1e300),
        np.ones((2,) * 8),
    ),
)


def _strange(value: Any, random: np.random.RandomState) -> Any:
    """The value with one strange value somewhere in it."""
    if random.randint(8) == 0:
        return STRANGE[random.randint(len(STRANGE))]
    if hasattr(value, "state"):
        value.state = _strange(value.state, random)
    elif isinstance(value, dict) and value:
        key = list(value)[random.randint(len(value))]
        value[key] = _strange(value[key], random)
    elif isinstance(value, (list, tuple)) and value:
        items = list(value)
        i = random.randint(len(items))
        items[i] = _strange(items[i], random)
        return type(value)(items)
    else:
        return STRANGE[random.randint(len(STRANGE))]
    return value


@pytest.mark.parametrize("family", FAMILIES)
def test_strange_values_anywhere(pickles: Any, family: str) -> None:
    random = np.random.RandomState(0)
    config = pickles.config(family)
    messages = []
    for _ in range(100):
        made = _strange(pickles.generator(config, label_size=..., structure="auto"), random)
        try:
            checkpoint = pickles.read((None, None, made))
        except CheckpointError as error:
            messages.append(str(error))
        else:
            assert checkpoint.config.img_shape == (8, 8)
            assert all(len(note.splitlines()) == 1 for note in checkpoint.notes)
    assert 20 < len(messages) < 100  # a source text, a name or a version may be anything
    assert all(len(message.splitlines()) == 1 and len(message) < 1000 for message in messages)
