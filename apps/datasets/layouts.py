"""The labels as other tools read them: a file beside the manifest, which it follows from.

huggingface   metadata.jsonl, a line per image: {"file_name": "seed0003.png", "label": "cat",
              "seed": 3}. The label is the class's name where it has one, as `class_encode_column`
              of the datasets library sorts numbers as texts: 10 before 2.
stylegan      dataset.json, as the original training tools read it: {"labels": [["seed0003.png", 0],
              ...]}, of an unconditional network {"labels": null}.

Soft labels are lists of numbers in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from stylert.apps.datasets.job import DatasetJob
from stylert.apps.datasets.reading import Record
from stylert.apps.datasets.records import format_line

__all__ = ["make_layout"]


def make_layout(job: DatasetJob, records: Iterable[Record]) -> Iterator[bytes]:
    """The file of the job's layout, in parts, from the records of the manifest."""
    return (_make_metadata if job.layout == "huggingface" else _make_labels)(records)


def _make_metadata(records: Iterable[Record]) -> Iterator[bytes]:
    for record in records:
        label = next(
            (record[key] for key in ("class", "class_idx", "labels") if key in record), None
        )
        told = {} if label is None else {"label": label}
        of = "seed" if "seed" in record else "row"
        yield format_line({"file_name": record["file"], **told, of: record[of]})


def _make_labels(records: Iterable[Record]) -> Iterator[bytes]:
    before = b'{"labels": [\n'
    for record in records:
        label = record.get("class_idx", record.get("labels"))
        if label is None:  # no image has one
            yield b'{"labels": null}\n'
            return
        yield before + json.dumps([record["file"], label]).encode()
        before = b",\n"
    yield b"\n]}\n"
