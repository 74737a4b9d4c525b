"""The native .safetensors checkpoint: all or nothing on disk, and checked like any other file."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.runtime.errors import CheckpointError


@pytest.fixture
def checkpoint(writer: Any) -> Checkpoint:
    config = writer.config(c_dim=2, embed_features=3, const_shape=(4, 2), conv_clamp=256.0)
    return read_checkpoint(writer.snapshot(writer.generator(config)))


def metadata_of(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    path = folder / "for-metadata.safetensors"
    write_native(checkpoint, path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    metadata: dict[str, Any] = json.loads(header["__metadata__"]["stylert"])
    path.unlink()
    return metadata


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_native(checkpoint, path)
    again = read_checkpoint(path)
    assert (again.family, again.config) == (checkpoint.family, checkpoint.config)
    assert type(again.config.conv_clamp) is float
    assert list(again.tensors.keys() ^ checkpoint.tensors.keys()) == []
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor, strict=True)
    assert again.source.file == "net.safetensors"
    assert again.source.format == "stylert safetensors"
    assert again.source.network == "G_ema"
    assert again.source.bytes == path.stat().st_size
    assert again.notes[:-1] == checkpoint.notes
    assert again.notes[-1] == (
        f"made from file.pkl (stylegan2-ada-pytorch pickle, sha256 {checkpoint.source.sha256})"
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.pkl", "net.safetensors"]


def test_tensors_in_another_order_of_memory(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """safetensors 0.8.0 writes memory as it lies: 38 of a golden's 80 tensors came back changed."""
    turned = {name: np.asarray(t, order="F")[...] for name, t in checkpoint.tensors.items()}
    assert not all(tensor.flags.c_contiguous for tensor in turned.values())
    strided = {name: np.repeat(t[..., None], 2, axis=-1)[..., 0] for name, t in turned.items()}
    for tensors in (turned, strided):
        write_native(
            replace(checkpoint, tensors=tensors), tmp_path / "net.safetensors", overwrite=True
        )
        again = read_checkpoint(tmp_path / "net.safetensors")
        for name, tensor in checkpoint.tensors.items():
            np.testing.assert_array_equal(again.tensors[name], tensor, strict=True)


def test_the_noise_keeps_its_order(goldens: Path, tmp_path: Path) -> None:
    """In the file, b16 comes before b4; the noise of a seed is drawn from the lowest block on."""
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    write_native(checkpoint, tmp_path / "net.safetensors")
    again = read_checkpoint(tmp_path / "net.safetensors")
    assert list(again.noise) == list(checkpoint.noise)
    assert list(again.noise)[:4] == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0"]


def test_no_file_is_replaced_unasked(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="it exists; pass overwrite=True"):
        write_native(checkpoint, path)
    assert path.read_bytes() == b"precious"
    write_native(checkpoint, path, overwrite=True)
    assert read_checkpoint(path).config == checkpoint.config


@pytest.mark.parametrize("target", ["folder", "file/net.safetensors", "file/a/net.safetensors"])
def test_places_that_cannot_be_written(checkpoint: Checkpoint, tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"^Cannot write .*(folder|Not a directory)"):
        write_native(checkpoint, tmp_path / target)


def test_missing_folders_are_made_and_a_failure_leaves_none(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a" / "b" / "net.safetensors"

    def full_disk(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(CheckpointError, match="No space left"):
            write_native(checkpoint, target)
    assert not (tmp_path / "a").exists()
    write_native(checkpoint, target)
    assert read_checkpoint(target).config == checkpoint.config


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_nothing_is_left_half_written(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    moment: str,
) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"precious")

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), fail)
    expected = CheckpointError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_native(checkpoint, path, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.pkl", "net.safetensors"]
    assert path.read_bytes() == b"precious"


def write(path: Path, tensors: Any, metadata: Any) -> Path:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    path.write_bytes(save(dict(tensors), metadata={"stylert": text}))
    return path


def test_float16_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    half = {name: np.asarray(t, dtype=np.float16) for name, t in checkpoint.tensors.items()}
    path = write(tmp_path / "half.safetensors", half, metadata_of(checkpoint, tmp_path))
    for name, tensor in read_checkpoint(path).tensors.items():
        np.testing.assert_array_equal(tensor, half[name].astype(np.float32), strict=True)


def test_other_types_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    double = {name: np.asarray(t, dtype=np.float64) for name, t in checkpoint.tensors.items()}
    path = write(tmp_path / "f64.safetensors", double, metadata_of(checkpoint, tmp_path))
    with pytest.raises(CheckpointError, match="got F64, expected F16 or F32"):
        read_checkpoint(path)


def test_tensors_are_checked(checkpoint: Checkpoint, tmp_path: Path) -> None:
    metadata = metadata_of(checkpoint, tmp_path)
    name = "synthesis.b8.conv1.weight"
    wrong = {
        "is missing": {k: v for k, v in checkpoint.tensors.items() if k != name},
        "unknown to StyleGAN2": {**checkpoint.tensors, "extra": np.zeros(3, np.float32)},
        r"got shape \[5\], expected \[5, 5, 3, 3\]": {**checkpoint.tensors, name: np.ones(5, "f4")},
        "225 of 225 values are NaN": {
            **checkpoint.tensors,
            name: np.full((5, 5, 3, 3), np.nan, "f4"),
        },
    }
    for message, tensors in wrong.items():
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(write(tmp_path / "wrong.safetensors", tensors, metadata))


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "newer": ({"schema": 2}, "got schema 2, expected 1: update StyleRT"),
    "family": ({"family": "stylegan9"}, "not supported: the family 'stylegan9'"),
    "no config": ({"config": None}, "metadata in the file is damaged"),
    "no source": ({"source": {}}, "metadata in the file is damaged"),
    "notes": ({"notes": [3]}, "metadata in the file is damaged"),
    "schema of lists": ({"schema": [[]]}, "got schema a list"),
}
FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"colour": 1}, "configuration is incomplete: .*colour"),
    "text": ({"z_dim": "8"}, "z_dim: got '8', expected 1 to"),
    "bool": ({"w_dim": True}, "w_dim: got True"),
    "huge": ({"w_dim": 10**12}, "w_dim: got 1000000000000"),
    "activation": ({"activation": "elu"}, "not supported: activation 'elu'"),
    "architecture": ({"architecture": ["skip"]}, "not supported: architecture a tuple"),
    "channels": ({"channels": [6, -5]}, "channels: got -5"),
    "many channels": ({"channels": [6] * 40}, "channels: got a tuple, expected 1 to 14"),
    "clamp": ({"conv_clamp": -1}, "conv_clamp: got -1, expected a number above 0"),
    "lr": ({"mapping_lr_multiplier": float("nan")}, "mapping_lr_multiplier: got nan"),
    "half": ({"num_fp16_res": 3}, "num_fp16_res: got 3, expected 0 to 2"),
    "filters": ({"own_image_filter": "yes"}, "not supported: own_image_filter 'yes', expected"),
    "filters of no skip": (
        {"own_image_filter": True, "architecture": "orig"},
        "not supported: own_image_filter True, expected False",
    ),
    "embedding": ({"c_dim": 0}, "embed_features is 3 and c_dim 0"),
    "layers": ({"mapping_layers": 10**9}, "mapping_layers: got 1000000000, expected 1 to 256"),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_metadata_is_checked(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    changes, message = CHANGES[name]
    metadata = metadata_of(checkpoint, tmp_path) | changes
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(write(tmp_path / "n.safetensors", checkpoint.tensors, metadata))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_config_is_checked(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    changes, message = FIELDS[name]
    metadata = metadata_of(checkpoint, tmp_path)
    metadata["config"] |= changes
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(write(tmp_path / "n.safetensors", checkpoint.tensors, metadata))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "[" * 100_000, '{"schema": 1e999}'])
def test_metadata_that_is_none(checkpoint: Checkpoint, tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(write(tmp_path / "n.safetensors", checkpoint.tensors, text))


def test_text_from_the_file_is_printable(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    write_native(replace(checkpoint, notes=("a\n\x1b[31mb",)), path)
    assert read_checkpoint(path).notes[0] == "a??[31mb"


def test_files_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({"unet.weight": np.zeros((2, 2), np.float32)}))
    with pytest.raises(
        CheckpointError, match=r"a \.safetensors file of a dict .* it has unet.weight, exp"
    ):
        read_checkpoint(path)


def test_a_native_file_has_one_network(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_native(checkpoint, path)
    with pytest.raises(CheckpointError, match="no network 'G'"):
        read_checkpoint(path, network="G")


HEADERS: dict[str, bytes] = {
    "longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "overflow": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no json": struct.pack("<Q", 4) + b"{abc",
    "beyond the data": struct.pack("<Q", 74)
    + b'{"a":{"dtype":"F32","shape":[250000000000],"data_offsets":[0,1000000000000]}}'[:74],
    "shape and data differ": struct.pack("<Q", 58)
    + b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}'[:58]
    + b"0000",
}


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_headers_that_lie(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lie.safetensors"
    path.write_bytes(HEADERS[name])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"damaged|claims") as caught:
            read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1
