"""The manifest's lines: what an image is, how it was drawn, where it is, and its SHA-256.

file, shard             the image's name, in a WebDataset that of its member and of the tar file
seed                    z = RandomState(seed).randn(z_dim)
row, ws_file, ws_sha256 instead, of styles of a file: which row of which
class_idx, labels       of a conditional generator, one of the two
class                   the name of class_idx, where the generator's classes have names
truncation_psi          a number, or numbers by layers: {"coarse": 0.5}, 1 in the others
truncation_cutoff       layers from this one on are not truncated (null: all are)
noise_mode, noise_seed  the seed with the mode 'seeded' alone
translate, rotate       if the picture was moved
width, height, bytes, sha256                     of the image's file
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.names import SUFFIXES, sample_key, shard_name
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["format_line", "read_record", "make_record"]

LARGEST = 8**11  # bytes of a file that a tar file can hold


def make_record(job: DatasetJob, place: int, data: bytes) -> dict[str, Any]:
    """What is told of an image, whose file has these bytes."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {**_drawn(job, place), "bytes": len(data), "sha256": sha256}


def format_line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the manifest."""
    return json.dumps(record).encode() + b"\n"


def read_record(job: DatasetJob, place: int, line: bytes) -> dict[str, Any]:
    """Read the line of an image, and check that it is this one.

    Raises:
        InvalidInput: it is damaged, or tells of another image.
    """
    expected = _drawn(job, place)
    try:
        record = json.loads(line)
        fits = all(record[key] == value for key, value in expected.items())
        fits = fits and [*record] == [*expected, "bytes", "sha256"] and format_line(record) == line
        fits = fits and type(record["bytes"]) is int and 0 <= record["bytes"] < LARGEST
    except (ValueError, KeyError, TypeError, RecursionError):
        fits = False
    if not fits:
        raise InvalidInput(f"expected the line of {expected['file']}, got {shown(line)}.")
    return dict(record)


def _drawn(job: DatasetJob, place: int) -> dict[str, Any]:
    """All that is known of an image before it is drawn."""
    (seed,) = job.seeds.between(place, place + 1)
    facts: dict[str, Any] = {}
    if job.container == "webdataset":
        facts["file"] = sample_key(seed) + SUFFIXES[job.image_format]
        facts["shard"] = shard_name(place // job.shard_size)
    else:
        facts["file"] = job.name_image(place)
    if job.ws is None:
        facts |= {"seed": seed, "truncation_cutoff": None}
    else:
        facts |= {"row": seed, "ws_file": job.ws.name, "ws_sha256": job.ws.sha256}
    facts |= {"noise_mode": "const", **job.options}
    if (class_idx := job.find_class(place)) is not None:
        facts["class_idx"] = class_idx
        if job.classes.names:
            facts["class"] = job.classes.names[class_idx]
    if facts["noise_mode"] == "seeded":
        facts.setdefault("noise_seed", seed)
    facts |= {"width": job.width, "height": job.height}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in facts.items()}
