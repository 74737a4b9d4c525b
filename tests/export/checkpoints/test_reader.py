"""Which reader a file goes to, and what is said of files that none can read."""

from __future__ import annotations

import mmap
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import read_checkpoint, write_native
from stylert.runtime.errors import CheckpointError

CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "html": (b"\n <!DOCTYPE html><html>", "looks like a web page"),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?>", "looks like a web page"),
    "json": (b'[{"a": 1}]', "looks like a text file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "not supported yet: an HDF5 file"),
    "xz": (b"\xfd7zXZ\x00", "xz archive: unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd", "zstd archive: unpack it"),
    "tar": (b"G.pkl".ljust(257, b"\0") + b"ustar\x0000", "tar archive: unpack it"),
    "old pickle": (pickle.dumps({"G": 1}, 0), "protocol 0 or 1, expected 2 to 5"),
    "old pickle of a list": (pickle.dumps([1, 2], 1), "protocol 0 or 1, expected 2 to 5"),
    "old torch": (b"L119547037146038801333356L\n.", "protocol 0 or 1, expected 2 to 5"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip archive: unpack it"),
    "png": (b"\x89PNG\r\n", "an image"),
    "npy": (b"\x93NUMPY\x01\x00", "NumPy array"),
    "onnx": (b"\x08\x0a\x12\x07pytorch:", "an ONNX file"),
    "zip": (b"PK\x03\x04broken", "damaged zip"),
    "unknown": (b"\x01\x02\x03\x04\x05", "starts with the bytes 01 02 03 04"),
    "old gadget": (b"(lp0\ncos\nsystem\n.", "protocol 0 or 1"),
    "protocol": (b"\x80\x09N.", "got pickle protocol 9, expected 2 to 5"),
    "a byte": (b"\x80", "ends early"),
    "none": (b"\x80\x04N.", "a pickle of a NoneType"),
    "no keys": (b"\x80\x04}.", "a pickle of an empty dict"),
    "keys": (b"\x80\x04}(K\x01K\x02U\x02a\nNu.", r"with the keys 1, 'a\\n'"),
    "list": (b"\x80\x04].", "a pickle of a list"),
}


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_other_files(name: str, tmp_path: Path) -> None:
    data, message = CONTENTS[name]
    path = tmp_path / "net.pkl"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    text = str(caught.value)
    assert text.startswith(f"Cannot read {str(path)!r}: ")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("archive/data.pkl", "the pickle is damaged at byte 0"),
        ("w.npy", "NumPy archive"),
        ("net.pkl", "a zip archive, and no checkpoint"),
    ],
)
def test_zip_archives(tmp_path: Path, member: str, message: str) -> None:
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, np.zeros(3).tobytes())
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"absent.pkl': No such file or directory\.$"):
        read_checkpoint(tmp_path / "absent.pkl")


@pytest.mark.parametrize("address", ["https://x.y/z//ffhq.pkl", "gs://x/ffhq.pkl"])
def test_addresses(address: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(address)
    told = f"Cannot read '{address}': it is an address. Download it first, and pass the file."
    assert str(caught.value) == told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
def test_devices_and_pipes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pkl"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="a device or a pipe"):
            read_checkpoint(path)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_files_that_do_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(b"\x80\x04N.")

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(CheckpointError, match=r"Permission denied\.|does not fit into memory\."):
        read_checkpoint(path)


def test_a_strange_path_stays_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "a\nb\0c")
    assert len(str(caught.value).splitlines()) == 1


def test_a_native_file_that_begins_as_a_pickle(writer: Any, tmp_path: Path) -> None:
    """Its first byte is the lowest of the header's length, and may be any."""
    path = tmp_path / "native.safetensors"
    write_native(read_checkpoint(writer.snapshot(writer.generator(writer.config()))), path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padding = (0x80 - length) % 256  # the format allows spaces behind the header
    header = data[8 : 8 + length] + b" " * padding
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert path.read_bytes()[:1] == b"\x80"
    assert read_checkpoint(path).config == writer.config()
