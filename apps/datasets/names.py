"""Names of what a data set consists of. The seed is in the name, and so the same everywhere.

Where styles of a file are drawn, their row is: ws0012.png.
"""

from __future__ import annotations

import re

__all__ = [
    "IMAGE_NAME",
    "JOB",
    "LAYOUTS",
    "MANIFEST",
    "SHARD_NAME",
    "SUFFIXES",
    "image_name",
    "partial",
    "sample_key",
    "shard_name",
]

JOB = "job.json"  # what was asked for, of which bundle, and what draws it
MANIFEST = "manifest.jsonl"  # a line per image
LAYOUTS = {"huggingface": "metadata.jsonl", "stylegan": "dataset.json"}  # files of labels
SUFFIXES = {  # by image format
    "png": ".png",
    "jpeg": ".jpg",
    "webp": ".webp",
    "tiff": ".tiff",
    "npy": ".npy",
}
IMAGE_NAME = re.compile(
    rf"(?P<of>seed|ws)(?P<seed>\d{{4,10}})(?P<suffix>{'|'.join(map(re.escape, SUFFIXES.values()))})"
)
SHARD_NAME = re.compile(r"shard-\d{6,}\.(tar|jsonl)(\.partial)?")


def image_name(seed: int, image_format: str, *, of: str = "seed") -> str:
    """Name of an image in a folder or a zip file: 'seed0012.png', or 'ws0012.png' of a row."""
    return f"{of}{seed:04d}{SUFFIXES[image_format]}"


def sample_key(seed: int) -> str:
    """What the names of a WebDataset sample's members begin with: '000000012'; or of a row."""
    return f"{seed:09d}"


def shard_name(number: int) -> str:
    """Name of a WebDataset shard: 'shard-000000.tar'."""
    return f"shard-{number:06d}.tar"


def partial(name: str) -> str:
    """What a file is called until it is whole."""
    return f"{name}.partial"
