"""Files of torch.save, archives and streams: their values arrive, and damaged ones are refused."""

from __future__ import annotations

import argparse
import io
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.checkpoints.safe_pickle.allow_list import PickledObject, read_torch_stream
from stylert.export.checkpoints.safe_pickle.storages import Tensor
from stylert.export.checkpoints.safe_pickle.torch_archive import read_archive
from stylert.export.checkpoints.safe_pickle.torch_stream import USUAL_HEAD
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
GENUINE = GOLDENS / "rosinality-32.pt"
NUMBERS = torch.arange(24.0).reshape(4, 6)


def saved(value: Any, *, archive: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


def read(data: bytes) -> Any:
    view = memoryview(data)
    return read_archive(ZipRecords(view)) if data[:2] == b"PK" else read_torch_stream(view)


def refusal(data: bytes, tmp_path: Path) -> str:
    """What is said of a file, without the beginning that all messages have."""
    path = tmp_path / "file.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"Cannot read {str(path)!r}: ")
    return message.removeprefix(f"Cannot read {str(path)!r}: ")


def small_archive(writer: Any, value: Any = None, **records: bytes) -> bytes:
    """An archive as torch.save lays it out; a dot in a record's name is written as two underscores.

    The value is a tensor of six elements unless it is given.
    """
    storage = writer.Raw(
        writer.operations(("storage", writer.Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", 6)) + b"Q"
    )
    tensor = writer.Call("torch._utils", "_rebuild_tensor_v2", (storage, 0, (6,), (1,), False, {}))
    all_records = {
        "data__pkl": writer.dump({"a": tensor} if value is None else value),
        "byteorder": b"little",
        "data/0": np.arange(6, dtype=np.float32).tobytes(),
        **records,
    }
    return zipped(
        {f"archive/{name.replace('__', '.')}": data for name, data in all_records.items()}
    )


def zipped(records: dict[str, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return file.getvalue()


# Values that arrive.


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
@pytest.mark.parametrize(
    "tensor",
    [
        NUMBERS,
        NUMBERS.half(),
        NUMBERS.double(),
        NUMBERS.bfloat16(),
        (NUMBERS / 7).bfloat16(),
        NUMBERS.t(),
        NUMBERS[1:3, ::2],
        NUMBERS[2, 3],
        NUMBERS[:1].expand(4, 6),
        torch.nn.Parameter(NUMBERS),
    ],
    ids=["f4", "f2", "f8", "bf16", "bf16 rounded", "strides", "offset", "scalar", "0", "parameter"],
)
def test_tensors(tensor: torch.Tensor, archive: bool) -> None:
    value = read(saved({"a": tensor, "b": NUMBERS}, archive=archive))
    array = value["a"].to_float32()
    assert array.dtype == np.float32
    assert np.array_equal(array, tensor.detach().float().numpy())
    assert np.array_equal(value["b"].to_float32(), NUMBERS.numpy())


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_other_values(archive: bool) -> None:
    value = read(
        saved(
            {
                "namespace": argparse.Namespace(size=1024, lr=0.002, path=Path("/data")),
                "size": torch.Size([1, 2]),
                "device": torch.device("cuda", 0),
                "number": np.float64(0.5),
                "ordered": OrderedDict(a=1),
                "set": {"a"},
                "nested": [1, (2.5, None, True, "text")],
                "flags": torch.zeros(3, dtype=torch.uint8),
            },
            archive=archive,
        )
    )
    namespace = value["namespace"]
    assert type(namespace) is PickledObject
    assert namespace.class_name == "Namespace"
    assert (namespace.state["size"], namespace.state["lr"]) == (1024, 0.002)
    assert value["size"] == (1, 2)
    assert type(value["device"]) is type(namespace.state["path"]) is PickledObject
    assert (value["number"], value["ordered"], value["set"]) == (0.5, {"a": 1}, {"a"})
    assert value["nested"] == [1, (2.5, None, True, "text")]
    with pytest.raises(CheckpointError, match="holds uint8, expected floats"):
        value["flags"].to_float32()


def test_untyped_storages_stay_unread() -> None:
    assert type(read(saved({"a": NUMBERS.untyped_storage()}))["a"]).__name__ == "Storage"


def test_storages_are_views_and_shared() -> None:
    data = saved({"a": NUMBERS, "b": NUMBERS[2:], "c": torch.zeros(1000)})
    value = read(data)
    whole = np.frombuffer(data, dtype=np.uint8)
    assert np.shares_memory(np.frombuffer(value["a"].storage.fetch(), np.uint8), whole)
    assert value["a"].storage.described == value["b"].storage.described
    assert np.array_equal(value["b"].to_float32(), NUMBERS[2:].numpy())


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_a_checkpoint_is_the_same_in_both(archive: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(saved(torch.load(GENUINE, weights_only=True), archive=archive))
    again, genuine = read_checkpoint(path), read_checkpoint(GENUINE)
    assert again.config == genuine.config
    assert again.tensors.keys() == genuine.tensors.keys()
    assert all(np.array_equal(again.tensors[name], genuine.tensors[name]) for name in again.tensors)


def test_half_precision_files(tmp_path: Path) -> None:
    value = torch.load(GENUINE, weights_only=True)
    value["g_ema"] = {name: tensor.bfloat16() for name, tensor in value["g_ema"].items()}
    torch.save(value, tmp_path / "half.pt")
    checkpoint = read_checkpoint(tmp_path / "half.pt")
    name = "synthesis.b8.torgb.weight"
    expected = value["g_ema"]["to_rgbs.0.conv.weight"][0].float().numpy()
    assert np.array_equal(checkpoint.tensors[name], expected)


def test_a_checksum_that_was_not_computed(tmp_path: Path) -> None:
    """An option of torch.save leaves them out."""
    torch.serialization.set_crc32_options(False)
    try:
        data = saved(torch.load(GENUINE, weights_only=True))
    finally:
        torch.serialization.set_crc32_options(True)
    (tmp_path / "file.pt").write_bytes(data)
    assert isinstance(read_checkpoint(tmp_path / "file.pt"), Checkpoint)


def test_sizes_of_64_bits(writer: Any) -> None:
    """Beyond 4 GiB, sizes and offsets stand in an extra field of the directory."""
    data = bytearray(small_archive(writer))
    end = data.rindex(b"PK\5\6")
    _, _, _, _, count, _, offset, _ = struct.unpack_from("<4s4H2LH", data, end)
    entries, position = b"", offset
    for _ in range(count):
        fields = list(struct.unpack_from("<4s6H3L5H2L", data, position))
        name_size, *wide = fields[10], fields[9], fields[8], fields[16]
        name = data[position + 46 : position + 46 + name_size]
        position += 46 + name_size
        fields[8] = fields[9] = fields[16] = 2**32 - 1
        extra = struct.pack("<2H1s2H3Q", 9, 1, b"x", 1, 24, *wide)
        fields[11] = len(extra)
        entries += struct.pack("<4s6H3L5H2L", *fields) + name + extra
    directory = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(entries), offset
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + len(entries), 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    value = read(bytes(data[:offset]) + entries + directory + locator + last)
    assert np.array_equal(value["a"].to_float32(), np.arange(6))


class Persistent:
    """A module of NVlabs' code, which pickles itself as a call of their torch_utils."""

    def __init__(self, module: Any) -> None:
        state = {
            "_parameters": {
                k: torch.nn.Parameter(_tensor(v)) for k, v in module.parameters.items()
            },
            "_buffers": {k: _tensor(v) for k, v in module.buffers.items()},
            "_modules": OrderedDict((k, Persistent(v)) for k, v in module.modules.items()),
            "_non_persistent_buffers_set": set(),
            **module.attributes,
        }
        self.meta = {"type": "class", "version": 6, "module_src": "raise SystemExit('ran')"}
        self.meta |= {"class_name": module.class_name, "state": state}

    def __reduce__(self) -> Any:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_networks_of_nvlabs_code(
    archive: bool, writer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PTI saves them with torch.save, after it tuned them to a photograph."""
    persistence = ModuleType("torch_utils.persistence")
    code = "def _reconstruct_persistent_obj(meta): raise AssertionError"
    exec(code, vars(persistence))
    monkeypatch.setitem(sys.modules, "torch_utils", ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", persistence)
    module = writer.generator(writer.config())
    path = tmp_path / "model_ABCD_0.pt"
    path.write_bytes(saved(Persistent(module), archive=archive))
    checkpoint, same = read_checkpoint(path), read_checkpoint(writer.snapshot(module))
    assert checkpoint.source.network == "the only network"
    assert checkpoint.config == same.config
    assert all(np.array_equal(checkpoint.tensors[k], same.tensors[k]) for k in same.tensors)


# Files that are refused.


def test_small_archive_is_read(writer: Any) -> None:
    """What the tests below change is sound before."""
    value = read(small_archive(writer))
    assert type(value["a"]) is Tensor
    assert np.array_equal(value["a"].to_float32(), np.arange(6))


RECORDS: dict[str, tuple[dict[str, bytes], str]] = {
    "big-endian": ({"byteorder": b"big"}, "torch data is not little-endian"),
    "TorchScript": ({"constants__pkl": b""}, "a TorchScript archive, which holds code"),
    "two values": ({"more/data__pkl": b"\x80\x02N."}, "has 2 values, expected 1"),
    "shorter storage": ({"data/0": bytes(20)}, "claims 6 elements of float32, and 20 bytes"),
    "longer storage": ({"data/0": bytes(28)}, "claims 6 elements of float32, and 28 bytes"),
    "empty pickle": ({"data__pkl": b""}, "the pickle ends early"),
    "no pickle": ({"data__pkl": bytes(24)}, "the pickle is damaged at byte 0"),
}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_records(name: str, writer: Any, tmp_path: Path) -> None:
    records, message = RECORDS[name]
    assert message in refusal(small_archive(writer, **records), tmp_path)


def test_a_missing_storage(writer: Any, tmp_path: Path) -> None:
    data = small_archive(writer).replace(b"archive/data/0", b"archive/data/1")
    assert "the record 'archive/data/0' is missing" in refusal(data, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_records(method: int, tmp_path: Path) -> None:
    """A gigabyte of zeros would take a few kilobytes."""
    data = zipped({"archive/data.pkl": bytes(10**6)}, compression=method)
    assert "'archive/data.pkl' is compressed or encrypted" in refusal(data, tmp_path)


def test_encrypted_records(writer: Any, tmp_path: Path) -> None:
    data = bytearray(small_archive(writer))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert "'archive/data.pkl' is compressed or encrypted" in refusal(bytes(data), tmp_path)


def test_a_record_that_is_there_twice(writer: Any, tmp_path: Path) -> None:
    data = small_archive(writer, **{"data/1": b"more"}).replace(
        b"archive/data/1", b"archive/data/0"
    )
    assert "has the record 'archive/data/0' twice" in refusal(data, tmp_path)


@pytest.mark.parametrize(
    ("offset", "format_", "value"),
    [(16, "<L", 1), (42, "<L", 2**31), (42, "<L", 3), (28, "<H", 2**15), (0, "<L", 7)],
    ids=["checksum", "outside", "inside another", "long name", "signature"],
)
def test_damaged_entries(
    offset: int, format_: str, value: int, writer: Any, tmp_path: Path
) -> None:
    data = bytearray(small_archive(writer))
    struct.pack_into(format_, data, data.index(b"PK\1\2") + offset, value)
    assert "damaged" in refusal(bytes(data), tmp_path)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (10, 4, "it is a damaged zip archive"),  # number of records
        (12, 2**31, "it is a damaged zip archive"),  # size of the directory
        (16, 2**31, "it is a damaged zip archive"),  # its offset
        (0, 0, "a damaged zip archive without a directory"),
    ],
)
def test_damaged_directory(
    offset: int, value: int, message: str, writer: Any, tmp_path: Path
) -> None:
    data = bytearray(small_archive(writer))
    end = data.rindex(b"PK\5\6")
    data[end + offset : end + offset + 2 + 2 * (offset > 10)] = value.to_bytes(
        2 + 2 * (offset > 10), "little"
    )
    assert message in refusal(bytes(data), tmp_path)


def test_many_records_are_refused_before_they_are_read(writer: Any, tmp_path: Path) -> None:
    data = small_archive(writer)
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**9, 10**9, 46 * 10**9, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, data.rindex(b"PK\5\6"), 1)
    cut = data.rindex(b"PK\5\6")
    claimed = data[:cut] + end + locator + data[cut:]
    assert "claims 1000000000 records" in refusal(claimed, tmp_path)


def test_changed_weights_do_not_pass(tmp_path: Path) -> None:
    data = bytearray(GENUINE.read_bytes())
    weights = torch.load(GENUINE, weights_only=True)["g_ema"]["conv1.conv.weight"].numpy().tobytes()
    data[data.index(weights) + 1000] ^= 1
    message = refusal(bytes(data), tmp_path)
    assert message.startswith("conv1.conv.weight: the record 'rosinality-32/data/")
    assert message.endswith("is damaged; download it again.")


GADGETS = [("posix", "system"), ("builtins", "eval"), ("torch.serialization", "os.system")]
NETWORKS = [("model", "Generator"), ("torch.nn.modules.container", "Sequential")]


@pytest.mark.parametrize(("module", "name"), [*GADGETS, *NETWORKS])
def test_other_names_are_refused(module: str, name: str, writer: Any, tmp_path: Path) -> None:
    value = writer.Call(module, name, ("touch PWNED",))
    hint = "if a whole network was saved, save its state_dict() instead"
    for data in (small_archive(writer, value), stream(writer, value)):
        message = refusal(data, tmp_path)
        assert f"refuses '{module}.{name}'" in message
        assert (hint in message) is ((module, name) in NETWORKS)


def test_foreign_persistent_ids(writer: Any, tmp_path: Path) -> None:
    for persistent_id in ("cposix\nsystem\n)R", "(X\x01\0\0\0acposix\nsystem\nt"):
        storage = writer.Raw(persistent_id.encode() + b"Q")
        tensor = writer.Call("torch._utils", "_rebuild_tensor_v2", (storage, 0, (), (), False, {}))
        for data in (small_archive(writer, {"a": tensor}), stream(writer, {"a": tensor})):
            assert "refuses 'posix.system'" in refusal(data, tmp_path)
        beside = {"args": tensor, "state_dict": {"a": tensor}}
        assert "it is a torch.save file" in refusal(small_archive(writer, {"b": beside}), tmp_path)


def stream(writer: Any, value: Any, *, keys: Any = (), tail: bytes = b"", **system: Any) -> bytes:
    """A stream of the old torch.save."""
    system = {"protocol_version": 1001, "little_endian": True, **system}
    parts = (0x1950A86A20F9469CFC6C, 1001, system, value, list(keys))
    return b"".join(map(writer.dump, parts)) + tail


def one_storage(writer: Any, *, numel: int = 2, key: Any = "0", view: Any = None) -> Any:
    described = ("storage", writer.Raw(b"ctorch\nFloatStorage\n"), key, "cpu", numel, view)
    storage = writer.Raw(writer.operations(described) + b"Q")
    return writer.Call("torch._utils", "_rebuild_tensor_v2", (storage, 0, (2,), (1,), False, {}))


def test_the_usual_head_is_read_as_any_other(writer: Any) -> None:
    """Its bytes are torch's own; what else says the same is read, too."""
    data = saved(NUMBERS, archive=False)
    assert data.startswith(USUAL_HEAD)
    other = stream(writer, {})
    assert other.endswith(writer.dump({}) + writer.dump([]))
    head = other[: -len(writer.dump({}) + writer.dump([]))]
    assert head != USUAL_HEAD
    value = read(head + data[len(USUAL_HEAD) :])
    assert np.array_equal(value.to_float32(), NUMBERS.numpy())


def length(numel: int) -> bytes:
    return struct.pack("<q", numel)


STREAMS: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "big-endian": (lambda w: stream(w, {}, little_endian=False), "not little-endian"),
    "version": (lambda w: stream(w, {}).replace(b"\xe9\x03", b"\xe8\x03"), "unknown format"),
    "cut": (lambda w: stream(w, {})[:-1], "ends early"),
    "no data": (lambda w: stream(w, {"a": one_storage(w)}, keys="0"), "claims 2 elements"),
    "short": (
        lambda w: stream(w, {"a": one_storage(w)}, keys="0", tail=length(2) + bytes(7)),
        "claims 2 elements of float32, and 7 bytes are there",
    ),
    "huge": (
        lambda w: stream(w, {"a": one_storage(w, numel=2**47)}, keys="0", tail=length(2**47)),
        f"claims {2**47} elements of float32, and 0 bytes are there",
    ),
    "numel": (
        lambda w: stream(w, {"a": one_storage(w)}, keys="0", tail=length(3) + bytes(8)),
        "claims 2 elements, and 3 are there",
    ),
    "other keys": (lambda w: stream(w, {"a": one_storage(w)}, keys="1"), "other storages than"),
    "keys twice": (lambda w: stream(w, {"a": one_storage(w)}, keys="00"), "other storages than"),
    "two sizes": (
        lambda w: stream(w, {"a": one_storage(w), "b": one_storage(w, numel=3)}),
        "storage '0' is described in two ways",
    ),
    "a view": (lambda w: stream(w, {"a": one_storage(w, view=("0", 0, 1))}), "is described as"),
    "key": (lambda w: stream(w, {"a": one_storage(w, key=0)}), "is described as"),
    "module": (
        lambda w: stream(w, w.Raw(w.operations(("module", None, "", "")) + b"Q")),
        "the pickle is damaged",
    ),
}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_streams(name: str, writer: Any, tmp_path: Path) -> None:
    make, message = STREAMS[name]
    assert message in refusal(make(writer), tmp_path)


VALUES: dict[str, tuple[Any, str]] = {
    "tensor": (NUMBERS, "a torch.save file of a Tensor, and no StyleGAN checkpoint"),
    "latents": ({"w": NUMBERS}, "a torch.save file of a dict with the keys 'w', and no StyleGAN"),
    "nothing": ({}, "a torch.save file of an empty dict, and no StyleGAN checkpoint"),
    "numbers": ({1: {2: NUMBERS}}, "a torch.save file of a dict with the keys 1, and no StyleGAN"),
    "only d": ({"d": {"convs.0.0.weight": NUMBERS}}, "a dict with the keys 'd', and no StyleGAN"),
}


@pytest.mark.parametrize("name", sorted(VALUES))
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_other_files_of_torch(name: str, archive: bool, tmp_path: Path) -> None:
    value, message = VALUES[name]
    assert message in refusal(saved(value, archive=archive), tmp_path)


# Damage of any kind.


def outcome(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        return "refused" if len(str(error).splitlines()) == 1 else "refused with many lines"
    assert all(np.isfinite(tensor).all() for tensor in checkpoint.tensors.values())
    return "read"


@pytest.fixture(scope="module")
def damaged() -> dict[bool, bytes]:
    """The smallest generator, as an archive and as a stream."""
    value = torch.load(GENUINE, weights_only=True)
    value["g_ema"] = smallest(value["g_ema"])
    return {archive: saved(value, archive=archive) for archive in (True, False)}


def smallest(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of an 8x8 generator with two mapping layers."""
    drop = (*(f"convs.{i}." for i in range(2, 6)), *(f"to_rgbs.{i}." for i in (1, 2)))
    drop += (*(f"style.{i}." for i in range(3, 9)), *(f"noises.noise_{i}" for i in range(3, 7)))
    return {name: tensor for name, tensor in state.items() if not name.startswith(drop)}


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_cut_files_are_refused(archive: bool, damaged: dict[bool, bytes], tmp_path: Path) -> None:
    data = damaged[archive]
    cuts = np.linspace(0, len(data) - 1, 60, dtype=int)
    assert {outcome(data[:cut], tmp_path / "cut.pt") for cut in cuts} == {"refused"}


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])
def test_changed_bytes(archive: bool, damaged: dict[bool, bytes], tmp_path: Path) -> None:
    """Half of the changes are in the pickle or the directory, where names and sizes are."""
    data = damaged[archive]
    dense = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("X"))
    random = np.random.RandomState(0)
    outcomes = []
    for i in range(100):
        changed = bytearray(data)
        at = random.choice(dense) + random.randint(-9, 9) if i % 2 else random.randint(len(data))
        changed[at] = random.randint(256)
        outcomes.append(outcome(bytes(changed), tmp_path / "changed.pt"))
    assert {"read", "refused"} == set(outcomes)
