"""The bundle: whatever is wrong with its files or its manifest is one line, and nothing else."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import MANIFEST, SCHEMA, Bundle, check_target, sealed
from stylert.runtime.errors import BundleError, EngineError
from stylert.runtime.files import manifest as manifest_module
from stylert.runtime.files.arrays import READING
from stylert.runtime.files.latent_files import load_ws
from stylert.runtime.generator import Generator
from stylert.runtime.labels import Classes
from stylert.tests.manifests import change_manifest, list_file

FILES = ("mapping.onnx", "synthesis.onnx", "noise.npz")


@pytest.fixture
def refused(bundle_copy: Path, refuses: Any) -> Callable[..., None]:
    """Opens the damaged bundle, which must be a BundleError that names it and holds the words."""

    def check(*words: str, **options: Any) -> None:
        with refuses(str(bundle_copy), *words, error=BundleError):
            Bundle.open(bundle_copy, **options)

    return check


def test_a_flipped_bit_anywhere_in_the_manifest(bundle_copy: Path, refuses: Any) -> None:
    """Spaces aside: every bit that changes what the manifest says is noticed."""
    file = bundle_copy / MANIFEST
    right = file.read_bytes()
    said = json.loads(right)
    noticed = 0
    for position in range(0, len(right), max(1, len(right) // 300)):
        wrong = bytearray(right)
        wrong[position] ^= 1 << position % 8
        file.write_bytes(wrong)
        try:
            if json.loads(bytes(wrong)) == said:
                continue
        except ValueError:
            pass
        with refuses(str(bundle_copy), error=BundleError):
            Bundle.open(bundle_copy)
        noticed += 1
    assert noticed > 150


def test_what_a_bundle_says(bundle: Path) -> None:
    opened = Bundle.open(str(bundle))
    assert opened.family == "stylegan2"
    assert (opened.spec.z_dim, opened.spec.num_ws, opened.spec.img_height) == (64, 8, 32)
    assert opened.w_avg.shape == (64,)
    assert opened.manifest["schema"] == SCHEMA
    assert opened.file("mapping") == bundle / "mapping.onnx"
    assert set(opened.manifest["files"]) >= set(FILES)
    names = [t.name for t in opened.noise_inputs]
    assert names[:2] == ["noise_b4_conv1", "noise_b8_conv0"]
    noise = opened.read_noise()
    assert list(noise) == names
    assert noise["noise_b8_conv0"].shape == (1, 1, 8, 8)


def test_a_bundle_may_be_moved(bundle_copy: Path) -> None:
    moved = bundle_copy.rename(bundle_copy.with_name("a new name"))
    assert Bundle.open(moved).path == moved


def test_a_process_may_go_to_another_folder(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon goes to the root, with files that are not read yet."""
    monkeypatch.chdir(bundle_copy.parent)
    with Generator.open(bundle_copy.name, provider="cpu") as generator:
        monkeypatch.chdir("/")
        assert generator.bundle.path == Path(bundle_copy.name)  # as messages say it
        assert generator.bundle.file("mapping").is_file()
        ws = generator.styles([1])
        assert not np.array_equal(generator.edit(ws, "sefa_all_0", 2.0), ws)


# --- Files.


@pytest.mark.parametrize("name", ["directions.npz", "synthesis.onnx.data"])
def test_a_file_that_is_replaced_while_it_is_open(
    bundle_copy: Path, refuses: Any, name: str
) -> None:
    """As `export --force` does under a service: what is read later would be of another network."""

    def read_later(opened: Bundle) -> object:
        return opened.directions if name.endswith(".npz") else opened.file("synthesis")

    (bundle_copy / "synthesis.onnx.data").write_bytes(b"weights")
    list_file(bundle_copy, "synthesis.onnx.data")
    opened, again = Bundle.open(bundle_copy), Bundle.open(bundle_copy)
    file = bundle_copy / name
    data = file.read_bytes()
    file.unlink()
    with refuses(f"{name} cannot be read any more (No such file", error=BundleError):
        read_later(opened)
    file.write_bytes(data)  # the same at another time
    assert read_later(opened)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with refuses(f"{name} was replaced since", "Open it again", error=BundleError):
        read_later(again)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_flipped_bit(
    bundle_copy: Path, refused: Callable[..., None], name: str, share: float
) -> None:
    data = bytearray((bundle_copy / name).read_bytes())
    data[round(share * (len(data) - 1))] ^= 1
    (bundle_copy / name).write_bytes(data)
    refused(f"{name} was changed: its SHA-256 is ", "expected ", "Copy the bundle again")
    if share == 0 and name.endswith(".onnx"):
        refused(f"{name} is no ONNX file", check_files=False)
    elif share != 0.5 or not name.endswith(".onnx"):  # in the middle it may be structure
        assert Bundle.open(bundle_copy, check_files=False)  # as it was asked for: not looked at


@pytest.mark.parametrize("more", [b"", b"more"])
def test_converters_that_rewrite_a_graph_are_named(bundle_copy: Path, more: bytes) -> None:
    """onnx2tf does, and onnxslim in place: the user has changed nothing by hand."""
    for name in FILES:
        data = (bundle_copy / name).read_bytes()
        (bundle_copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]) + more)
        with pytest.raises(BundleError, match=name) as caught:
            Bundle.open(bundle_copy)
        told = "Some converters and optimizers rewrite the graph that they are given"
        assert (told in str(caught.value)) == name.endswith(".onnx")
        (bundle_copy / name).write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_size(bundle_copy: Path, refused: Callable[..., None], name: str) -> None:
    data = (bundle_copy / name).read_bytes()
    for changed in (data[:-1], data + b"\0", b""):
        (bundle_copy / name).write_bytes(changed)
        message = f"{name} has {len(changed)} bytes, expected {len(data)}"
        refused(message)
        refused(message, check_files=False)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(bundle_copy: Path, refused: Callable[..., None], name: str) -> None:
    (bundle_copy / name).unlink()
    refused(f"{name} is missing")
    (bundle_copy / name).mkdir()
    refused(f"{name} is missing", check_files=False)


def test_no_manifest(bundle_copy: Path, refused: Callable[..., None]) -> None:
    (bundle_copy / MANIFEST).unlink()
    refused("is not a bundle: expected a directory with a manifest.json", "stylert export")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their paths are Unicode")
def test_a_path_that_is_no_utf8(bundle_copy: Path, refuses: Any) -> None:
    """As of an old ZIP file. ONNX Runtime cannot open it, and said so in a page."""
    place = bundle_copy.rename(bundle_copy.with_name("caf\udce9"))
    for use in (Bundle.open, Generator.open, partial(check_target, force=True)):
        with refuses(r"caf\udce9': the path is no UTF-8", "Rename the folder, or set LC_ALL"):
            use(place)


def test_no_bundle_at_all(tmp_path: Path, refuses: Any) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    (tmp_path / "loop").symlink_to("loop")
    for path, message in [
        (tmp_path / "nothing", "No bundle at "),
        (tmp_path, "is not a bundle"),
        (file, "is a file, expected the folder of a bundle"),
        (file / MANIFEST, "No bundle at "),
        (tmp_path / "loop", "No bundle at "),
    ]:
        with refuses(message, str(path), "stylert export CHECKPOINT", error=BundleError):
            Bundle.open(path)


# --- The manifest.


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0", b"\xff\xfe\x00", b"{", b'{"schema": 1', b"schema: 1", b"{'schema': 1}"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b'{"schema": ' + b"9" * 5000 + b"}"),
    ],
)
def test_a_manifest_that_is_no_json(
    bundle_copy: Path, refused: Callable[..., None], data: bytes
) -> None:
    (bundle_copy / MANIFEST).write_bytes(data)
    refused("cannot read manifest.json (")


@pytest.mark.parametrize("data", ["[]", "[1]", "null", "1", '"schema"', "{}"])
def test_a_manifest_of_another_kind(
    bundle_copy: Path, refused: Callable[..., None], data: str
) -> None:
    (bundle_copy / MANIFEST).write_text(data)
    refused("manifest.json has no valid 'schema' (got None)")


@pytest.mark.parametrize("schema", [0, -1, "1", True, None, 1.0, [1] * 1000, {}])
def test_a_wrong_schema(bundle_copy: Path, refused: Callable[..., None], schema: Any) -> None:
    change_manifest(bundle_copy, lambda manifest: manifest.update(schema=schema))
    refused(f"has no valid 'schema' (got {repr(schema)[:40]})")


@pytest.mark.parametrize("schema", [SCHEMA + 1, 10**30])
def test_a_newer_schema(bundle_copy: Path, refused: Callable[..., None], schema: int) -> None:
    (bundle_copy / MANIFEST).write_text(json.dumps({"schema": schema, "other": "keys"}))
    refused(f"is of schema {schema}, this StyleRT reads {SCHEMA}.", "Install a newer StyleRT")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"file": "ffhq.pkl"}, "ffhq.pkl"),
        ({"file": "untrained:stylegan2-256"}, "untrained:stylegan2-256"),
        ({"file": "my net; rm -r x.pkl"}, "'my net; rm -r x.pkl'"),
        ({"file": "x" * 1000}, "CHECKPOINT"),
        ({"file": "a\nb"}, "CHECKPOINT"),
        ({"file": ["ffhq.pkl"]}, "CHECKPOINT"),
        ({}, "CHECKPOINT"),
        ([7], "CHECKPOINT"),
        (None, "CHECKPOINT"),
    ],
)
def test_an_older_schema(
    bundle_copy: Path,
    refused: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    source: Any,
    named: str,
) -> None:
    monkeypatch.setattr(manifest_module, "SCHEMA", 5)
    manifest = {"schema": 3, "provenance": {"source": source}}
    (bundle_copy / MANIFEST).write_text(json.dumps(manifest))
    refused(
        "is of schema 3, this StyleRT reads 5. Export the checkpoint again: "
        f"stylert export {named} --out {bundle_copy} --force"
    )


@pytest.mark.parametrize("key", ["family", "generator", "graphs", "w_avg", "files"])
@pytest.mark.parametrize("value", ["absent", None, 7, "\n", [], [7], {}, {"a": 7}, [["a"]]])
def test_a_key_of_a_wrong_type(
    bundle_copy: Path, refused: Callable[..., None], key: str, value: Any
) -> None:
    change_manifest(
        bundle_copy, lambda m: m.pop(key) if value == "absent" else m.update({key: value})
    )
    refused("manifest.json ", "has no checksum of" if (key, value) == ("files", {}) else "damaged")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        *(
            (key, (None, 0, -1, 1.0, "64", True, [], 10**30))
            for key in ("z_dim", "w_dim", "num_ws", "img_channels", "img_height", "img_width")
        ),
        ("c_dim", (None, -1, 0.0, "0", False)),
        ("truncation_psi", (None, "1", True, [1.0], float("nan"), float("inf"))),
        ("truncation_cutoff", (-1, 1.0, "1", True, [])),
        ("a_new_key", (1,)),
    ],
)
def test_a_wrong_specification(
    bundle_copy: Path, refused: Callable[..., None], key: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        change_manifest(bundle_copy, lambda m, value=value: m["generator"].update({key: value}))
        refused("manifest.json is damaged")


@pytest.mark.parametrize(
    "w_avg",
    [
        [0.0] * 63,
        [0.0] * 63 + [1e300],
        [0.0] * 63 + [10**400],
        [float("nan")] * 64,
        ["a"] * 64,
        [[0.0] * 64],
        [],
        0.0,
    ],
)
def test_a_wrong_mean_latent(bundle_copy: Path, refused: Callable[..., None], w_avg: Any) -> None:
    change_manifest(bundle_copy, lambda manifest: manifest.update(w_avg=w_avg))
    refused("manifest.json is damaged")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", 7),
        ("file", "a\nb"),
        ("file", "noise.npz"),
        ("inputs", None),
        ("inputs", "ws"),
        ("inputs", [7]),
        ("inputs", [{"name": "ws", "dtype": "float32"}]),
        ("inputs", [{"name": "ws", "dtype": "float32", "shape": ["N", 8, 65]}]),
        ("inputs", [{"name": "transform", "dtype": "float32", "shape": ["N", 3, 4]}]),
        ("inputs", [{"name": 7, "dtype": "float32", "shape": []}]),
        ("inputs", [{"name": "noise_a", "dtype": "float32", "shape": ["M", 1, "h", "w"]}]),
        ("inputs", [{"name": "noise_a", "dtype": "float32", "shape": [8, 8]}]),
        ("outputs", [{"name": "img", "dtype": "float32", "shape": ["N", 3, 32, 64]}]),
        ("outputs", [{"name": "image", "dtype": "uint8", "shape": 4}]),
    ],
)
def test_a_wrong_graph(
    bundle_copy: Path, refused: Callable[..., None], key: str, value: Any
) -> None:
    change_manifest(bundle_copy, lambda m: m["graphs"]["synthesis"].update({key: value}))
    refused("manifest.json is damaged")


@pytest.mark.parametrize("graph", ["mapping", "synthesis"])
def test_a_graph_that_is_not_listed(
    bundle_copy: Path, refused: Callable[..., None], graph: str
) -> None:
    change_manifest(bundle_copy, lambda manifest: manifest["files"].pop(f"{graph}.onnx"))
    refused(f"manifest.json has no checksum of '{graph}.onnx'")
    change_manifest(bundle_copy, lambda manifest: manifest["graphs"].pop(graph))
    refused(f"manifest.json is damaged (KeyError: '{graph}')")


@pytest.mark.parametrize("name", ["../mapping.onnx", "a/../../b", "..", "/etc/passwd", "a\nb"])
def test_a_file_outside_of_the_bundle(
    bundle_copy: Path, refused: Callable[..., None], name: str
) -> None:
    shutil.copy(bundle_copy / "mapping.onnx", bundle_copy.parent)
    change_manifest(
        bundle_copy, lambda m: m["files"].update({name: dict(m["files"]["mapping.onnx"])})
    )
    refused("manifest.json is damaged", repr(name))


@pytest.mark.parametrize("entry", [None, 7, "a", [], {}, {"bytes": "1", "sha256": 7}])
def test_a_wrong_checksum_entry(
    bundle_copy: Path, refused: Callable[..., None], entry: Any
) -> None:
    change_manifest(bundle_copy, lambda m: m["files"].update({"mapping.onnx": entry}))
    refused()


def test_a_checksum_that_is_no_text(bundle_copy: Path, refused: Callable[..., None]) -> None:
    change_manifest(bundle_copy, lambda m: m["files"]["mapping.onnx"].update(sha256=None))
    refused("mapping.onnx was changed")


# --- Files that are what the manifest says, and wrong.


def make_direction_arrays(bundle: Path) -> dict[str, np.ndarray]:
    with np.load(bundle / "noise.npz") as arrays:
        return dict(arrays)


def without_one(arrays: dict[str, np.ndarray]) -> None:
    del arrays["noise_b8_conv0"]


def of_another_shape(arrays: dict[str, np.ndarray]) -> None:
    arrays["noise_b8_conv0"] = arrays["noise_b8_conv0"][0]


def of_another_dtype(arrays: dict[str, np.ndarray]) -> None:
    arrays["noise_b8_conv0"] = arrays["noise_b8_conv0"].astype(np.float64)


class Gadget:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("change", [without_one, of_another_shape, of_another_dtype])
def test_noise_that_does_not_fit(bundle_copy: Path, refuses: Any, change: Any) -> None:
    arrays = make_direction_arrays(bundle_copy)
    change(arrays)
    np.savez(bundle_copy / "noise.npz", **arrays)
    list_file(bundle_copy, "noise.npz")
    opened = Bundle.open(bundle_copy)
    with refuses("noise.npz", "noise_b8_conv0", error=BundleError):
        opened.read_noise()
    with refuses("noise.npz", "noise_b8_conv0", error=BundleError):
        Generator.open(bundle_copy)


def test_noise_that_is_a_pickle_is_not_loaded(
    bundle_copy: Path, tmp_path: Path, refuses: Any
) -> None:
    file, gadget = bundle_copy / "noise.npz", Gadget(tmp_path / "PWNED")
    objects = np.array([gadget], dtype=object)

    def pickled() -> None:
        file.write_bytes(pickle.dumps(gadget))

    def array() -> None:
        with file.open("wb") as target:
            np.save(target, objects)

    def archive() -> None:
        np.savez(file, **{**make_direction_arrays(bundle_copy), "noise_b8_conv0": objects})

    for write in (archive, pickled, array):
        write()
        list_file(bundle_copy, "noise.npz")
        with refuses("cannot read noise.npz", error=BundleError):
            Bundle.open(bundle_copy).read_noise()
    assert not gadget.mark.exists()
    pickle.loads(pickle.dumps(gadget))  # the gadget works
    assert gadget.mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.98])
def test_noise_with_a_hole(bundle_copy: Path, refuses: Any, share: float) -> None:
    file = bundle_copy / "noise.npz"
    data = bytearray(file.read_bytes())
    start = int(share * len(data))
    data[start : start + 200] = bytes(200)
    file.write_bytes(data)
    opened = Bundle.open(bundle_copy, check_files=False)
    with refuses("cannot read noise.npz", error=BundleError):
        opened.read_noise()


def test_noise_that_is_not_there(bundle_copy: Path, refuses: Any) -> None:
    (bundle_copy / "noise.npz").unlink()
    change_manifest(bundle_copy, lambda manifest: manifest["files"].pop("noise.npz"))
    with refuses("cannot read noise.npz", error=BundleError):
        Bundle.open(bundle_copy).read_noise()


@pytest.mark.parametrize("data", [b"", b"no graph"])
def test_a_graph_that_is_no_onnx_file(
    bundle_copy: Path, refused: Callable[..., None], data: bytes
) -> None:
    (bundle_copy / "mapping.onnx").write_bytes(data)
    list_file(bundle_copy, "mapping.onnx")
    refused("mapping.onnx is no ONNX file (")


def test_a_file_without_a_graph(bundle_copy: Path, refuses: Any) -> None:
    (bundle_copy / "mapping.onnx").write_bytes(b"\x08\x08")
    list_file(bundle_copy, "mapping.onnx")
    with refuses("ONNX Runtime cannot open mapping.onnx: ", error=EngineError):
        Generator.open(bundle_copy)


def test_names_of_classes(named_bundle: Path, conditional_bundle: Path) -> None:
    assert Bundle.open(named_bundle).classes.names == ("ant", "bee", "cat", "dog", "elk")
    assert Bundle.open(conditional_bundle).classes == Classes(5)
    with Generator.open(named_bundle, provider="cpu", threads=1) as generator:
        assert generator.classes.names[3] == "dog"
        named = generator.generate([1, 2], class_idx=["dog", "ant"])
        assert np.array_equal(named, generator.generate([1, 2], class_idx=[3, 0]))
        mixed = generator.generate([1], labels={"dog": 1, "ant": 3})
        assert np.array_equal(mixed, generator.generate([1], labels={3: 1, 0: 3}))


def test_the_commands_of_messages_can_be_pasted(tmp_path: Path, refuses: Any) -> None:
    with refuses(f"stylert export CHECKPOINT --out '{tmp_path}/a b'", error=BundleError):
        Bundle.open(tmp_path / "a b")


@pytest.mark.parametrize("names", [["a"], "abcde", 5, {"a": 1}, ["1", "2", "3", "4", "5"]])
def test_names_of_classes_that_are_refused(
    named_bundle: Path, tmp_path: Path, refuses: Any, names: Any
) -> None:
    path = shutil.copytree(named_bundle, tmp_path / "bundle")
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["classes"] = names
    (path / MANIFEST).write_text(json.dumps(sealed(manifest)))
    with refuses("manifest.json is damaged", error=BundleError):
        Bundle.open(path)


def test_headers_are_read_by_one_thread_at_a_time(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython 3.11 mixes up what several threads parse: 'AST constructor recursion depth'."""
    alone: list[bool] = []
    parse = ast.literal_eval

    def watched(text: Any) -> Any:
        alone.append(READING._is_owned())  # type: ignore[attr-defined]
        return parse(text)

    opened = Bundle.open(bundle)
    ws = np.zeros((1, opened.spec.num_ws, opened.spec.w_dim), np.float32)
    np.save(tmp_path / "ws.npy", ws)
    monkeypatch.setattr(ast, "literal_eval", watched)
    assert opened.read_noise()
    assert opened.directions
    at_bundle = len(alone)
    load_ws(tmp_path / "ws.npy", opened.spec)
    assert 0 < at_bundle < len(alone)
    assert all(alone)
