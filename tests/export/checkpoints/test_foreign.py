"""Foreign names beside a generator: it is read, they are named, and nothing of them runs."""

from __future__ import annotations

import argparse
import collections
import functools
import json
import pathlib
import pickle
import tracemalloc
import types
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.checkpoints.safe_pickle.budget import MAX_OPERATIONS, Budget
from stylert.export.families import build_model
from stylert.runtime.errors import CheckpointError

FIELD = Path(__file__).parents[2] / "goldens" / "field"
NOTE = "the file names what no generator needs; nothing of it was read or run: "
MEGABYTE = 2**20

# What is said of each, where something is.
FILES = {
    "pg-snapshot.pkl": f"{NOTE}'pg_modules.discriminator.ProjectedDiscriminator'",
    "va-cvD.pkl": f"{NOTE}'torch.nn.modules.container.Sequential'",
    "ada-dtype.pkl": f"{NOTE}'numpy.uint8', 'torch.float32'",
    "ada-win.pkl": f"{NOTE}'pathlib.PureWindowsPath'",
    "ada-hook.pkl": f"{NOTE}'builtins.print'",
    "ada-param-attr.pkl": "",
    "ada-noema.pkl": "the file has no average generator: 'G' was read",
    "ada-nested.pkl": "",
    "ada-g-only-lower.pkl": "",
    "rosargs-win.pt": f"{NOTE}'pathlib.PureWindowsPath'",
    "rosargs-dtype.pt": f"{NOTE}'torch.float16'",
    "rosargs-cnt.pt": f"{NOTE}'collections.Counter'",
    "rosargs-path313.pt": f"{NOTE}'pathlib._local.PosixPath'",
    "ros-npavg.pt": "",
    "ros-nokernels.pt": "the file has no filters: [1, 3, 3, 1], the usual one, takes their place",
    "ros-extra.pt": "beside the generator the state dict has 'mean_latent', 'n_latent', ignored",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_of_the_field_draw_what_their_source_draws(name: str) -> None:
    checkpoint, stem = read_checkpoint(FIELD / name), Path(name).stem
    assert json.loads((FIELD / f"{stem}.json").read_text())["file"] == name
    arrays = np.load(FIELD / f"{stem}.npz")
    model: Any = build_model(checkpoint)
    with torch.no_grad():
        ws = model.mapping(torch.from_numpy(arrays["z"]), truncation_psi=float(arrays["psi"]))
        got = model.synthesis(ws).numpy()
    assert np.abs(got - arrays["img"]).max() < 1e-4
    assert any(note.startswith(FILES[name]) for note in (*checkpoint.notes, ""))
    assert bool(checkpoint.notes) is bool(FILES[name])


# Beside the generator.


HONEST: dict[str, Any] = {
    "dtypes": [torch.float16, torch.bfloat16, np.uint8, np.float32],
    "paths": [pathlib.PureWindowsPath("a"), pathlib.PurePosixPath("b"), Path("/c")],
    "counters": [
        collections.Counter("aab"),
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2]),
    ],
    "namespaces": [argparse.Namespace(a=1), types.SimpleNamespace(lr=1)],
    "values": [datetime(2026, 1, 1), uuid.UUID(int=1), slice(1, 2), range(3), 1j, bytearray(b"a")],
    "functions": [functools.partial(len, "a"), len, torch.nn.functional.relu],
    "containers as keys": {("a", (1,)): 2, b"b": 3, "set": {1, "a", None}, "sets": {(1, 2)}},
    "random": [np.random.RandomState(0), torch.get_rng_state()],
    "networks": [torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Conv2d(1, 2, 3))],
    "other arrays": [
        np.array(["a", "bc"]),
        np.array([{}, None], dtype=object),
        np.array(["2026-01-01"], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", "f4"), ("b", "i2")]),
        np.zeros(2, np.complex128),
        np.str_("text"),
        np.asfortranarray(np.full((2, 3), "x")),
        np.zeros(2, ">f4"),
        np.dtype(">f8").type(1),
        np.zeros((0, 3)),
        np.zeros((1,) * 20),
    ],
    "other tensors": [
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, dtype=torch.complex64).conj(),
        torch._neg_view(torch.ones(2)),
        torch.zeros((1,) * 20),
        torch.zeros(2, 0),
        torch.eye(2).to_sparse(),
        torch.zeros(1, device="meta"),
        torch.nn.DataParallel(torch.nn.Embedding(2, 3)),
    ],
    "keys": {0.5: 1, collections.OrderedDict: 2, torch.float16: 1, Path("a"): 2, len: 3},
    "dtype of a set": {torch.float16, torch.float32},
}


@pytest.fixture(scope="module")
def extra() -> tuple[dict[str, Any], Checkpoint]:
    """The value of a file, and what is read of it. To be read only."""
    value: dict[str, Any] = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    return value, read_checkpoint(FIELD / "ros-extra.pt")


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", sorted(HONEST))
def test_what_honest_files_hold(
    name: str,
    protocol: int,
    archive: bool,
    extra: tuple[dict[str, Any], Checkpoint],
    tmp_path: Path,
) -> None:
    value, genuine = extra
    path = tmp_path / "file.pt"
    torch.save(
        {"first": HONEST[name], **value, "args": HONEST[name]},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=archive,
    )
    same_tensors(read_checkpoint(path), genuine)


def same_tensors(got: Checkpoint, expected: Checkpoint) -> None:
    assert got.config == expected.config
    assert all(np.array_equal(got.tensors[name], expected.tensors[name]) for name in got.tensors)


def test_a_log_of_each_step(tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    value |= {"log": [0.5] * 600_000, "names": ("name",) * 20_000}
    torch.save(value, tmp_path / "file.pt")
    same_tensors(read_checkpoint(tmp_path / "file.pt"), read_checkpoint(FIELD / "ros-extra.pt"))


def test_optimisers_and_schedulers(tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.zeros(1, 2)).sum().backward()
    optimiser.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [1, 2])
    both = [optimiser, optimiser.state_dict(), scheduler, scheduler.state_dict()]
    torch.save({"g_ema": value["g_ema"], "both": both}, tmp_path / "file.pt")
    notes = read_checkpoint(tmp_path / "file.pt").notes
    assert "'torch.optim.adam.Adam'" in notes[-1]


def test_tensors_with_attributes(tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    for name, tensor in value["g_ema"].items():
        wrapped = torch.nn.Parameter(tensor) if "weight" in name else tensor
        wrapped.hint = {"lr": 0.1, "dtype": torch.float16}
        value["g_ema"][name] = wrapped
    torch.save(value, tmp_path / "file.pt")
    same_tensors(read_checkpoint(tmp_path / "file.pt"), read_checkpoint(FIELD / "ros-extra.pt"))


def test_rosinality_by_pickle(tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(value))
    same_tensors(read_checkpoint(tmp_path / "file.pkl"), read_checkpoint(FIELD / "ros-extra.pt"))


# Payloads: each would leave a file where it ran.

PAYLOAD = b"cposix\nsystem\nX\x0b\x00\x00\x00touch PWNED\x85R"
CALLED = b"cposix\nsystem\n" + b")R" * 100_000
NAME = b"cposix\nsystem\n"
BESIDE = {
    "called": PAYLOAD,
    "named": NAME,
    "a chain of calls": CALLED,
    "objects of objects": NAME + b")\x81" * 50_000,
    "states": NAME + b"}b" * 50_000,
    "by keyword": NAME + b")}\x92",
    "items": NAME + b"(K\x01K\x02u",
    "an item": NAME + b"K\x01K\x02s",
    "appended": NAME + b"(K\x01K\x02e",
    "one appended": NAME + b"K\x01a",
    "added": NAME + b"(K\x01\x90",
    "in a list": b"](" + PAYLOAD * 100 + b"e",
    "as a key": b"}(" + PAYLOAD + b"K\x01u",
    "as an argument": b"ctorch\nSize\n" + PAYLOAD + b"\x85R",
    "as a storage": b"ctorch._utils\n_rebuild_tensor_v2\n(" + PAYLOAD + b"K\x00)))tR",
    "in a tensor's size": b"ctorch._utils\n_rebuild_parameter\n(" + PAYLOAD + b"\x88NtR",
    "as an array": b"cnumpy.core.multiarray\n_reconstruct\n" + NAME + b"K\x00\x85C\x01b\x87R",
    "getattr": b"cbuiltins\ngetattr\n" + NAME + b"X\x01\x00\x00\x00a\x86R)R",
    "its own state": NAME + b")\x81q\x01h\x01b",
}


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_beside_a_generator(
    name: str, writer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = writer.generator(writer.config())
    data = writer.dump({"first": writer.Raw(BESIDE[name]), "G_ema": network})
    checkpoint = read_checkpoint(writer.file(data))
    assert checkpoint.config == writer.config()
    assert "'posix.system'" in checkpoint.notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["file.pkl"]


def test_functions_are_named_before_types(writer: Any) -> None:
    many = b"".join(b"ctorch.nn\nType%d\n0" % i for i in range(100))
    network = writer.generator(writer.config())
    data = writer.dump({"first": writer.Raw(many + PAYLOAD), "G_ema": network})
    (note,) = read_checkpoint(writer.file(data)).notes
    assert note.startswith(f"{NOTE}'posix.system', 'torch.nn.Type0'")
    assert note.endswith(" and 69 more")


@pytest.mark.parametrize("key", ["conv1.conv.weight", "latent_avg"])
def test_in_a_state_dict(key: str, writer: Any, tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    holder = value if key == "latent_avg" else value["g_ema"]
    holder[key] = functools.partial(len, "a")
    torch.save(value, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=rf"{key}.*refuses 'functools\.partial'"):
        read_checkpoint(tmp_path / "file.pt")


def test_tensors_that_are_not_plain(tmp_path: Path) -> None:
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    weight = value["g_ema"]["conv1.conv.weight"]
    for other in (weight.to_sparse(), weight.to("meta"), weight.to(torch.float8_e4m3fn)):
        value["g_ema"]["conv1.conv.weight"] = other
        torch.save(value, tmp_path / "file.pt")
        with pytest.raises(CheckpointError, match="makes no plain tensor; save it as a dense one"):
            read_checkpoint(tmp_path / "file.pt")
    value["g_ema"]["conv1.conv.weight"] = torch._neg_view(weight)
    torch.save(value, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"conv1\.conv\.weight: is a negated or conjugated"):
        read_checkpoint(tmp_path / "file.pt")


def put(path: str, kind: str, name: Any, value: bytes) -> Callable[[Any, Any], None]:
    def edit(network: Any, writer: Any) -> None:
        target = network.at(path) if path else network
        getattr(target, kind)[name] = writer.Raw(value)

    return edit


IN_THE_GENERATOR = {
    "a tensor": put("synthesis.b8.conv0", "parameters", "weight", PAYLOAD),
    "a name for a tensor": put("synthesis.b8.conv0", "parameters", "weight", NAME),
    "a buffer more": put("synthesis.b8.conv0", "buffers", "more", PAYLOAD),
    "a module": put("synthesis.b8", "modules", "conv0", PAYLOAD),
    "a module more": put("", "modules", "more", NAME),
    "an attribute": put("synthesis.b8.conv0", "attributes", "extra_state", PAYLOAD),
    "an attribute that is read": put("synthesis.b8.conv0", "attributes", "activation", NAME),
    "a storage": put(
        "mapping.fc0",
        "parameters",
        "weight",
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + PAYLOAD + b"K\x00K\x08\x85K\x01\x85\x89}tR",
    ),
    "a parameter": put(
        "mapping.fc0",
        "parameters",
        "bias",
        b"ctorch._utils\n_rebuild_parameter\n(" + NAME + b"\x88NtR",
    ),
    "an argument": put("", "attributes", "_init_kwargs", b"}X\x01\x00\x00\x00a" + PAYLOAD + b"s"),
    "all arguments": put("", "attributes", "_init_args", PAYLOAD),
}


@pytest.mark.parametrize("name", sorted(IN_THE_GENERATOR))
def test_in_the_generator(
    name: str, writer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = writer.generator(writer.config())
    IN_THE_GENERATOR[name](network, writer)
    with pytest.raises(CheckpointError, match=r"refuses 'posix\.system'") as caught:
        read_checkpoint(writer.snapshot(network))
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file.pkl"]


@pytest.mark.parametrize("hooks", ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks"])
def test_hooks_and_dtypes_are_passed_over(hooks: str, writer: Any) -> None:
    network = writer.generator(writer.config())
    network.attributes[hooks] = {1: writer.Raw(PAYLOAD)}
    network.attributes["dtype"] = writer.Raw(b"ctorch\nfloat16\n")
    notes = read_checkpoint(writer.snapshot(network)).notes
    assert notes == (f"{NOTE}'posix.system', 'torch.float16'",)


BOMBS = {
    "names": b"](" + b"".join(b"ca%d\nb\n" % i for i in range(9000)) + b"e",
    "objects": b"]" + NAME + b")\x81q\x00a" + (b"(" + b"h\x00" * 9000 + b"e") * 112,
    "calls": NAME + b")R" * 500_000,
}


def test_a_million_calls_are_refused(writer: Any) -> None:
    raw = writer.Raw(BOMBS["calls"])
    path = writer.file(writer.dump({"G_ema": writer.generator(writer.config()), "x": raw}))
    with pytest.raises(CheckpointError, match="more steps than any"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_million_of_them(name: str, writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memory, up to a fifth of the steps that are allowed: its measuring is slow."""
    monkeypatch.setitem(Budget.__init__.__kwdefaults__, "operations", MAX_OPERATIONS // 5)
    data = writer.dump({"G_ema": writer.generator(writer.config()), "x": writer.Raw(BOMBS[name])})
    path = writer.file(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"more than 1000 foreign|more steps than any"):
            read_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE + 2 * len(data)


def test_tensors_beside_are_not_held(tmp_path: Path) -> None:
    """The discriminator's numbers are never copied, and those of a foreign object not even kept."""
    value = torch.load(FIELD / "ros-extra.pt", weights_only=True)
    value["d"] = {"a.weight": torch.zeros(10_000_000)}
    value["net"] = torch.nn.Linear(5_000, 1_000)
    torch.save(value, tmp_path / "file.pt")
    tracemalloc.start()
    try:
        read_checkpoint(tmp_path / "file.pt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE


# Where a generator is.


def test_wherever_a_generator_is(writer: Any) -> None:
    def read(value: Any, network: str | None = None) -> Checkpoint:
        return read_checkpoint(writer.file(writer.dump(value)), network=network)

    g, d = writer.generator(writer.config()), writer.Module("Discriminator")
    places = {
        "g_ema": {"g_ema": g},
        "G_ema": (g, d, g),
        "network1": [d, g],
        "model.G_ema": {"model": {"G": g, "D": d, "G_ema": g}},
        "generator": {"generator": g, "step": 7},
        "snapshot.network0": {"snapshot": (g,)},
        "netG_ema": {"netG": g, "netG_ema": g},
        "G": {"G": g, "D": d},
    }
    for name, value in places.items():
        checkpoint = read(value)
        assert checkpoint.source.network == name
        is_average = name.endswith("ema")
        assert checkpoint.notes == (
            () if is_average else (f"the file has no average generator: {name!r} was read",)
        )
    wrapped = b"ctorch.nn.parallel.data_parallel\nDataParallel\n)\x81"
    wrapped += writer.operations({"_modules": {"module": g}}) + b"b"
    assert read({"G_ema": writer.Raw(wrapped)}).source.network == "G_ema"
    assert read(writer.Raw(wrapped)).source.network == "the only network"
    with pytest.raises(CheckpointError, match=r"several gen.*; pass network='a' or network='b'\.$"):
        read({"a": g, "b": g})
    with pytest.raises(CheckpointError, match=r"no network 'x'.*; pass network='G'\.$"):
        read({"G": g, "D": d}, "x")
    with pytest.raises(CheckpointError, match=r"'D' is no generator.*; pass network='G'\.$"):
        read({"G": g, "D": d}, "D")


def test_wrappers_of_themselves(writer: Any) -> None:
    """A dict or a wrapper that holds itself is no way to search for ever."""
    loop = b"}\x94(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00u"
    wrapper = b"ctorch.nn.parallel.data_parallel\nDataParallel\n)\x81\x94"
    wrapper += b"}X\x08\x00\x00\x00_modules}X\x06\x00\x00\x00moduleh\x00ssb"
    for operations in (loop, wrapper):
        with pytest.raises(CheckpointError, match=r"no StyleGAN checkpoint"):
            read_checkpoint(writer.file(b"\x80\x04" + operations + b"."))


def test_conv1_keeps_its_own_filter(writer: Any) -> None:
    """The official code hands another filter to all but conv1, which has no use for one."""
    network = writer.generator(writer.config(architecture="resnet"))
    taps = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    for block in network.at("synthesis").modules.values():
        block.buffers["resample_filter"] = taps
        for name in ("conv0", "skip"):
            if name in block.modules:
                block.modules[name].buffers["resample_filter"] = taps
    checkpoint = read_checkpoint(writer.snapshot(network))
    assert np.array_equal(checkpoint.tensors["synthesis.b8.resample_filter"], taps)
    network.at("synthesis.b8.conv0").buffers["resample_filter"] = writer.FILTER
    with pytest.raises(CheckpointError, match=r"conv0\.resample_filter differs"):
        read_checkpoint(writer.snapshot(network))
