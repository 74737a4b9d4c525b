"""Any checkpoint file -> `Checkpoint`: tells formats by their content, and runs nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stylert.export.checkpoints.assumptions import NOTHING_SAID, Assumptions
from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.containers import find_generators
from stylert.export.checkpoints.lucidrains import (
    LUCIDRAINS_MARK,
    is_lucidrains,
    read_lucidrains,
)
from stylert.export.checkpoints.native import KEY, read_safetensors
from stylert.export.checkpoints.nvlabs.networks import is_nvlabs, read_networks
from stylert.export.checkpoints.rosinality.lookalikes import (
    explain,
    list_tensor_shapes,
    refuse_look_alikes,
)
from stylert.export.checkpoints.rosinality.state_dicts import (
    ROSINALITY_MARK,
    is_rosinality,
    read_state_dicts,
)
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle_file
from stylert.export.checkpoints.safe_pickle.foreign import ForeignNames, refuse_foreign
from stylert.export.checkpoints.safe_pickle.mapped_file import map_file
from stylert.export.checkpoints.safe_pickle.pickle_names import RefusedName
from stylert.export.checkpoints.safe_pickle.quoting import name_some, quote, quote_some
from stylert.export.checkpoints.safe_pickle.reading import reading
from stylert.export.checkpoints.safe_pickle.torch_archive import is_torch_archive, read_archive
from stylert.export.checkpoints.safe_pickle.zip_records import ZipRecords
from stylert.export.checkpoints.safetensors_dict import read_tensor_dict
from stylert.export.checkpoints.state_dict_families import (
    STATE_DICT_MARKS,
    has_state_dicts,
    read_state_dict,
    refuse_state_dicts,
    tell_expected,
)
from stylert.export.checkpoints.tensorflow.pickles import is_tensorflow, read_tensorflow
from stylert.export.checkpoints.untrained import PREFIX, make_untrained
from stylert.runtime.bundle import hash_file
from stylert.runtime.errors import CheckpointError
from stylert.runtime.files.regular import open_file

__all__ = ["read_checkpoint"]

HEAD = 512  # bytes that are enough to tell a format

# First bytes of files that people take for checkpoints, and what they are.
_SIGNATURES = {
    b"\x89HDF\r\n": "not supported yet: an HDF5 file",
    b"\x1f\x8b": "it is a gzip archive: unpack it first",
    b"BZh": "it is a bzip2 archive: unpack it first",
    b"7z\xbc\xaf": "it is a 7z archive: unpack it first",
    b"\xfd7zXZ": "it is an xz archive: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is a zstd archive: unpack it first",
    b"Rar!": "it is a rar archive: unpack it first",
    b"\x93NUMPY": "it is a NumPy array, and no checkpoint",
    b"\x89PNG": "it is an image, and no checkpoint",
    b"\xff\xd8\xff": "it is an image, and no checkpoint",
    b"version https://git-lfs": "it is a Git LFS pointer: fetch the file with 'git lfs pull'",
}

# How pickles of protocols 0 and 1 begin: a dict, a list, an object, or the mark of torch.save.
_OLD_PICKLE = re.compile(rb"\([dl]p0\n|[\]}]q\0|\(?c[\w.]+\n\w+\n|L\d+L\n\.")

# The kinds of values in a file, by pickle or by torch.save: what tells them, and what reads them.
_Read = Callable[[Any, str | None, Source], Checkpoint]
_KINDS: tuple[tuple[Callable[[Any], bool], _Read], ...] = (
    (is_rosinality, read_state_dicts),
    (is_nvlabs, read_networks),
    (is_tensorflow, read_tensorflow),
)
# How the names of tensors end that tell a state dict of some family.
_MARKS = tuple(f".{mark}" for mark in (ROSINALITY_MARK, LUCIDRAINS_MARK, *STATE_DICT_MARKS))


def read_checkpoint(
    path: str | Path, *, network: str | None = None, assume: Assumptions = NOTHING_SAID
) -> Checkpoint:
    """Read a generator from a checkpoint, without running anything that is in it.

    It reads the pickles of stylegan2-ada-pytorch and of stylegan3 (its StyleGAN2, too),
    the TensorFlow pickles of StyleGAN 1, StyleGAN2 and StyleGAN2-ADA, the .pt files of rosinality's
    stylegan2-pytorch and of what is built on it (pSp, e4e, ...), those of lucidrains'
    stylegan2_pytorch, state dicts with the names of NVlabs, genforce and mmgeneration in files of
    torch.save, pickles and .safetensors files, and the .safetensors files of `write_native`. The
    name of the file does not matter. Other networks and foreign types beside the generator are
    passed over, and named in a note.

    Args:
        path: The file, or 'untrained:NAME' for random weights (see `make_untrained`).
        network: Which network of a file to read, e.g. 'G'. None = the average one ('G_ema', 'Gs'),
            else the only one, else 'G'.
        assume: What a state dict does not tell, where it is not the usual.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe, or of a kind that is not supported.
        MissingExtra: the native format needs safetensors, which is not installed.

    Example:
        >>> from stylert.export.checkpoints import read_checkpoint
        >>> checkpoint = read_checkpoint("ffhq.pkl")
        >>> checkpoint.config.img_shape
        (1024, 1024)
        >>> checkpoint.tensors["synthesis.b4.const"].shape
        (512, 4, 4)
    """
    if str(path).startswith(PREFIX):
        if network is not None:
            raise CheckpointError(
                f"Cannot read {str(path)!r}: no network {quote(network)}: random weights have one "
                "network."
            )
        assume.refuse_others()
        return make_untrained(str(path).removeprefix(PREFIX))
    with reading(path):
        if "://" in str(path):
            raise CheckpointError("it is an address. Download it first, and pass the file")
        return _read(Path(path), network, assume)


def _read(path: Path, network: str | None, assume: Assumptions) -> Checkpoint:
    if path.is_dir():
        raise CheckpointError("it is a folder, expected a file")
    with open_file(path) as file:
        head = file.read(HEAD)
    # A .safetensors file whose header takes such a number of bytes begins as a pickle does.
    if head[:1] == b"\x80" and head[3:9] != b"\0\0\0\0\0{":
        return _read_from_pickle(path, network, assume)
    if head[:2] == b"PK":
        return _read_from_zip(path, network, assume)
    if head[8:9] == b"{":
        return _read_from_safetensors(path, network, assume)
    raise CheckpointError(_tell_what_it_is(head))


def _read_from_pickle(path: Path, network: str | None, assume: Assumptions) -> Checkpoint:
    data, foreign = map_file(path), ForeignNames()
    value, end = read_pickle_file(data, foreign=foreign)
    if end is None:
        return _read_from_value(value, path, network, assume, foreign, "torch.save file")
    checkpoint = _read_from_value(value, path, network, assume, foreign, "pickle")
    extra = len(data) - end
    notes = (f"{extra} bytes behind the end of the pickle were ignored",) if extra else ()
    return replace(checkpoint, notes=(*notes, *checkpoint.notes))


def _read_from_zip(path: Path, network: str | None, assume: Assumptions) -> Checkpoint:
    records, foreign = ZipRecords(map_file(path)), ForeignNames()
    if is_torch_archive(records):
        value = read_archive(records, foreign=foreign)
        return _read_from_value(value, path, network, assume, foreign, "torch.save file")
    if any(name.endswith(".npy") for name in records.names):
        raise CheckpointError("not supported: a NumPy archive (.npz)")
    raise CheckpointError("it is a zip archive, and no checkpoint: unpack it first")


def _read_from_safetensors(path: Path, network: str | None, assume: Assumptions) -> Checkpoint:
    tensors, metadata = read_tensor_dict(map_file(path))
    if KEY not in metadata:
        return _read_from_value(tensors, path, network, assume, ForeignNames(), ".safetensors file")
    assume.refuse_others()
    if network is not None:
        raise CheckpointError(
            f"no network {quote(network)}: a .safetensors file of ours has one network"
        )
    return read_safetensors(path, _describe_source(path))


def _read_from_value(
    value: Any,
    path: Path,
    network: str | None,
    assume: Assumptions,
    foreign: ForeignNames,
    container: str,
) -> Checkpoint:
    """The checkpoint in a value, with a note of the foreign names beside it."""
    try:
        checkpoint = _read_kind(value, path, network, assume)
    except RefusedName:
        raise
    except CheckpointError as error:
        refuse_look_alikes({}, foreign.names)
        raise CheckpointError("; ".join((str(error), *foreign.describe()))) from None
    if checkpoint is None:
        raise _explain_no_generator(value, foreign, container)
    return replace(checkpoint, notes=(*checkpoint.notes, *foreign.describe()))


def _read_kind(
    value: Any, path: Path, network: str | None, assume: Assumptions
) -> Checkpoint | None:
    """The checkpoint in a value of a kind that is known, or in a state dict of a family."""
    read_beside: _Read = partial(read_lucidrains, folder=path.parent)
    for is_of_kind, read in (*_KINDS, (is_lucidrains, read_beside)):
        if is_of_kind(value):
            assume.refuse_others()
            refuse_state_dicts(value)
            return read(value, network, _describe_source(path))
    if has_state_dicts(value):
        return read_state_dict(value, network, _describe_source(path), assume)
    found = find_generators(value, _MARKS, network)
    if found is None or found[0].parts is value:
        return None
    holder, rest = found
    checkpoint = _read_kind(holder.parts, path, rest, assume)
    if checkpoint is None or not holder.path:
        return checkpoint
    note = f"the generator is in {quote(holder.name)} of the file"
    return replace(checkpoint, notes=(*checkpoint.notes, note))


def _describe_source(path: Path) -> Source:
    return Source(path.name, hash_file(path), path.stat().st_size)


def _explain_no_generator(value: Any, foreign: ForeignNames, container: str) -> CheckpointError:
    """Why a value is no checkpoint."""
    shapes = list_tensor_shapes(value)
    refuse_look_alikes(shapes, foreign.names)
    try:
        for part in (value, *(value.values() if type(value) is dict else ())):
            refuse_foreign(part)
    except RefusedName as refused:
        return explain(refused)
    tensors = f": it has {name_some(shapes, 2)}, expected {tell_expected()}" if shapes else ""
    return CheckpointError(
        f"it is a {container} of {_describe(value)}, and no StyleGAN checkpoint{tensors}"
    )


def _describe(value: object) -> str:
    if type(value) is not dict:
        return f"a {type(value).__name__}"
    return f"a dict with the keys {quote_some(value, 4)}" if value else "an empty dict"


def _tell_what_it_is(head: bytes) -> str:
    """Why a file that is neither pickle nor .safetensors cannot be read."""
    if not head:
        return "the file is empty; download it again"
    for signature, meaning in _SIGNATURES.items():
        if head.startswith(signature):
            return meaning
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return "not supported: an ONNX file, which is exported already"
    if head[257:262] == b"ustar":
        return "it is a tar archive: unpack it first"
    if _OLD_PICKLE.match(head):
        return "a pickle of protocol 0 or 1, expected 2 to 5; save it with another"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"<":
        return "it looks like a web page: the download failed, download it again"
    if not set(head) - set(b"\t\n\r\x1b") - set(range(32, 256)) and head.isascii():
        return "it looks like a text file, and is no checkpoint; download it again"
    return f"unknown format: it starts with the bytes {head[:4].hex(' ')}"
