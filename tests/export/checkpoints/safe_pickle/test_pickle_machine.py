"""The pickle interpreter: what it refuses and bounds, and that it agrees with pickle on data."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle
from stylert.runtime.errors import CheckpointError

MEGABYTE = 2**20

# All of these led to running code, somewhere, through an allow-list that was too wide.
GADGETS = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("__builtin__", "eval"),
    ("subprocess", "Popen"),
    ("torch._utils", "_import_dotted_name"),
    ("torch.serialization", "os.system"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes.__globals__"),
    ("dnnlib.util", "get_obj_by_name"),
    ("dnnlib.util", "call_func_by_name"),
    ("torch_utils.persistence", "_src_to_module"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj.__globals__"),
    ("numpy", "memmap"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "fromfile"),
    ("collections", "_sys.modules.get"),
    ("collections", "OrderedDict.__class__"),
    ("_codecs", "lookup"),
    ("importlib", "import_module"),
    ("copyreg", "_reconstructor"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
]


def load(data: bytes) -> Any:
    return read_pickle(memoryview(data))[0]


def stack_global(module: str, name: str) -> bytes:
    return (
        b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_agrees_with_pickle_on_plain_data(protocol: int) -> None:
    value = {
        "none": None,
        "flags": [True, False],
        "integers": [0, 1, 255, 256, 65535, -1, 2**31 - 1, -(2**31), 2**80, -(2**80)],
        "floats": [0.5, -1e300, float("inf")],
        "texts": ["", "é\n", "x" * 300, "\ud800"],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "many": list(range(3000)),
        "names": {"a", "b"},
        3: {"nested": [{}, [], ()]},
    }
    if protocol > 3:
        value["frozen"] = frozenset(("a", "b"))
    value["again"] = value["texts"]
    loaded = load(pickle.dumps(value, protocol))
    assert loaded == value
    assert loaded["again"] is loaded["texts"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_agrees_with_pickle_on_numpy(protocol: int) -> None:
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int16)]
    arrays += [np.asfortranarray(arrays[0])]
    value = {
        "arrays": arrays,
        "numbers": [np.float64(0.25), np.float32(3), np.int64(-9), np.bool_(True)],
    }
    loaded = load(pickle.dumps(value, protocol))
    assert loaded["numbers"] == [0.25, 3.0, -9, True]
    assert [type(number) for number in loaded["numbers"]] == [float, float, int, bool]
    for got, expected in zip(loaded["arrays"], arrays, strict=True):
        assert got.array.dtype == expected.dtype
        np.testing.assert_array_equal(got.array, expected)


def test_bytes_stay_views_of_the_file() -> None:
    data = pickle.dumps(b"x" * 1000, 4)
    view = load(data)
    assert isinstance(view, memoryview)
    assert view.obj is data


@pytest.mark.parametrize(("module", "name"), GADGETS)
@pytest.mark.parametrize("stacked", [False, True])
def test_gadgets(module: str, name: str, stacked: bool) -> None:
    named = stack_global(module, name) if stacked else f"c{module}\n{name}\n".encode()
    with pytest.raises(CheckpointError, match=r"^refuses") as caught:
        load(b"\x80\x04" + named + b"X\x04\x00\x00\x00true\x85R.")
    assert f"{module}.{name}" in str(caught.value)


def test_names_in_messages_are_short_and_on_one_line() -> None:
    with pytest.raises(CheckpointError) as caught:
        load(b"\x80\x04" + stack_global("a\n\x1b[31m\u2028", "b" * 200) + b".")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 250


REFUSED = {
    "PERSID": b"Pname\n.",
    "BINPERSID": b"X\x01\x00\x00\x00aQ.",
    "INST": b"(ios\nsystem\n.",
    "OBJ": b"(cos\nsystem\no.",
    "NEWOBJ_EX": b"ccollections\nOrderedDict\n)}\x92.",
    "EXT1": b"\x82\x01.",
    "EXT2": b"\x83\x01\x00.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "NEXT_BUFFER": b"\x97.",
    "INT": b"I1\n.",
    "LONG": b"L" + b"9" * 100_000 + b"L\n.",
    "UNICODE": b"Va\n.",
    "GET": b"g0\n.",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_operations(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(b"\x80\x04" + REFUSED[name])
    assert str(caught.value).startswith(
        ("refuses the pickle operation " + name, "refuses 'os.system'")
    )


DAMAGED = {
    "empty stack": b".",
    "pop of nothing": b"0.",
    "two values": b"NN.",
    "open mark": b"(N.",
    "unknown memo": b"h\x07.",
    "unknown opcode": b"\xff.",
    "not utf-8": b"X\x02\x00\x00\x00\xff\xff.",
    "no newline": b"cos",
    "call of a number": b"K\x01)R.",
    "call without tuple": b"ccollections\nOrderedDict\n]R.",
    "too many arguments": b"ccollections\nOrderedDict\n(K\x01K\x02K\x03tR.",
    "append to a dict": b"}K\x01a.",
    "items for a list": b"](K\x01K\x02u.",
    "odd items": b"}(K\x01u.",
    "add to a list": b"](K\x01\x90.",
    "a list as key": b"}(]K\x01u.",
    "a dict in a set": b"\x8f(}\x90.",
    "a set in a frozen set": b"(\x8f\x91.",
    "global without text": b"K\x01K\x02\x93.",
    "object of a number": b"K\x01)\x81.",
    "mark only": b"(",
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damaged(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"damaged at byte \d+|ends early"):
        load(b"\x80\x04" + DAMAGED[name])


MISUSED = {
    "state of a list": b"]}b.",
    "state of a set": b"\x8f}b.",
    "class that is called": b"cdnnlib.util\nEasyDict\n)R.",
    "function as a class": b"ccollections\nOrderedDict\n)\x81.",
    "class with arguments": b"cdnnlib.util\nEasyDict\n(K\x01t\x81.",
    "other encoding": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.",
    "codec that imports": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "objects in numpy": b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R.",
    "numpy subclass": b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\ndtype\n)C\x01b\x87R.",
    "set of a number": b"cbuiltins\nset\nK\x01\x85R.",
    "dict of a number": b"ccollections\nOrderedDict\nK\x01\x85R.",
    "dict of numbers": b"ccollections\nOrderedDict\n](K\x01e\x85R.",
    "old protocol": b"\x80\x01N.",
    "new protocol": b"\x80\x06N.",
}


@pytest.mark.parametrize("name", sorted(MISUSED))
def test_misused(name: str) -> None:
    with pytest.raises(CheckpointError):
        load(b"\x80\x04" + MISUSED[name])


KEYS = {
    "flat": ({"a": 1, 2: 3, None: 4, 0.5: 5}, {"a": 1, 2: 3, None: 4, 0.5: 5}),
    "tuples": ({(1, ("a",)): 2, "b": 3}, {"b": 3}),
    "bytes": ({b"a": 1, "b": 3}, {"b": 3}),
    "a set": ({1, "a", (2, 3), b"c"}, {1, "a"}),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", sorted(KEYS))
def test_what_stands_under_a_container_is_left_out(name: str, protocol: int) -> None:
    value, left = KEYS[name]
    assert load(pickle.dumps(value, protocol)) == left


def test_a_dict_of_pairs() -> None:
    pairs = b"](X\x01\x00\x00\x00aK\x01\x86))\x86e\x85R."
    assert load(b"\x80\x04ccollections\nOrderedDict\n" + pairs) == {"a": 1}


DEEP = b"N" + b"\x85" * 200_000  # a tuple whose hash takes more stack than there is
HASHED = {
    "key": b"}" + DEEP + b"Ns",
    "element": b"\x8f(" + DEEP + b"\x90",
    "frozen": b"(" + DEEP + b"\x91",
    "set": b"cbuiltins\nset\n]" + DEEP + b"a\x85R",
    "pairs": b"ccollections\nOrderedDict\n]" + DEEP + b"N\x86a\x85R",
    "type": b"cnumpy\ndtype\n" + DEEP + b"\x85R",
}


@pytest.mark.parametrize("name", sorted(HASHED))
def test_deep_tuples_are_not_hashed(name: str, tmp_path: Path) -> None:
    """Python itself would crash."""
    (tmp_path / "file.pkl").write_bytes(b"\x80\x04" + HASHED[name] + b".")
    with pytest.raises(CheckpointError, match=r"no StyleGAN checkpoint|refuses 'numpy\.dtype'"):
        read_checkpoint(tmp_path / "file.pkl")


def bomb_of_lists() -> bytes:
    """Each list holds the one before twice: 2^5000 leaves for whoever walks."""
    return (
        b"\x80\x04]\x94"
        + b"".join(
            b"](" + b"j" + struct.pack("<I", i) * 1 + b"j" + struct.pack("<I", i) + b"e\x94"
            for i in range(5000)
        )
        + b"."
    )


def bomb_of_tuples() -> bytes:
    """The same with tuples, as the key of a dict: 2^60 steps for whoever hashes it."""
    return (
        b"\x80\x04)\x94"
        + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(60))
        + b"}h\x3cK\x01s."
    )


def chain_of_lists() -> bytes:
    """20,000 lists, each in the next one, without a deep stack."""
    return b"\x80\x04]q\x00" + b"]q\x01h\x00a0h\x01q\x000" * 20_000 + b"h\x00."


def bomb_of_references() -> bytes:
    """One dict of 20,000 names under 20,000 keys: a square of steps for whoever looks into all."""
    names = b"".join(b"X\x06\x00\x00\x00%06d" % i + b"N" for i in range(20_000))
    keys = b"".join(b"(" + part + b"u" for part in _cut(names))
    outer = b"".join(b"(" + part.replace(b"N", b"h\x00") + b"u" for part in _cut(names))
    return b"\x80\x04}q\x00" + keys + b"}" + outer + b"."


def _cut(names: bytes, size: int = 12 * 4000) -> list[bytes]:
    return [names[i : i + size] for i in range(0, len(names), size)]


BOMBS = {
    "references": bomb_of_references(),
    "lists": bomb_of_lists(),
    "tuples": bomb_of_tuples(),
    "chain": chain_of_lists(),
    "itself": b"\x80\x04]\x94h\x00a.",
    "marks": b"\x80\x04" + b"(" * 300_000,
    "stack": b"\x80\x04" + b"N" * 100_000,
    "memo": b"\x80\x04" + b"Nr\xff\xff\xff\xff0" * 1000 + b"N.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"abc",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 10**12) + b"abc",
    "short bytes": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"abc",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc",
    "long": b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"abc",
    "negative long": b"\x80\x04\x8b" + struct.pack("<i", -5) + b"abc",
    "big long": b"\x80\x04\x8b" + struct.pack("<i", 500_000) + b"\x01" * 500_000 + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.",
    "line": b"\x80\x04c" + b"a" * 500_000,
    "encode": b"\x80\x04X"
    + struct.pack("<I", 100_000)
    + b"a" * 100_000
    + b"q\x000"
    + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 5_000,
    "arguments": b"\x80\x04cposix\nsystem\nq\x01ctorch\ndevice\nq\x020("
    + b"N" * 5000
    + b"h\x01tq\x00"
    + b"h\x02h\x00R0" * 5000
    + b"N.",
    "pairs": b"\x80\x04]("
    + b"NN\x86" * 5000
    + b"eq\x00"
    + b"ccollections\nOrderedDict\nh\x00\x85R0" * 5000
    + b"N.",
    "sets": b"\x80\x04]("
    + b"X\x01\x00\x00\x00a" * 5000
    + b"eq\x000"
    + b"cbuiltins\nset\nh\x00\x85R0" * 5_000
    + b"N.",
    "numpy": pickle.dumps(np.zeros(4, np.float32), 2).replace(
        b"K\x04\x85", b"J\x00\x00\x00\x7f\x85"
    ),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pkl"
    path.write_bytes(BOMBS[name])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000
    assert peak < 40 * MEGABYTE


@pytest.mark.parametrize("small", [b"\x8f", b"C\x00"], ids=["sets", "bytes"])
def test_small_values_that_take_much(small: bytes) -> None:
    """Half a million of them would take 100 MB: they count twice."""
    with pytest.raises(CheckpointError, match="more steps than any checkpoint"):
        load(b"\x80\x04" + (small + b"0") * 340_000 + b"N.")


def test_number_of_steps_is_bounded() -> None:
    with pytest.raises(CheckpointError, match="more steps than any checkpoint"):
        load(b"\x80\x04N" + b"20" * 500_000 + b".")


def test_never_asks_the_pickle_module(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps({"a": [1, np.float64(2)]}, 4)

    def forbidden(*arguments: Any, **options: Any) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    monkeypatch.setattr(os, "system", forbidden)
    monkeypatch.setattr(io, "BytesIO", forbidden)
    assert load(data) == {"a": [1, 2.0]}
