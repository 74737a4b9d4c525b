"""Data sets: what is in them, and that memory stays flat."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.apps.datasets import DatasetJob, DatasetWriter, Seeds, write_dataset
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.generator import Generator
from stylert.runtime.labels import Classes

CONTAINERS = ("folder", "zip", "webdataset")
Contents = Callable[[Path], dict[str, bytes]]


def job(seeds: str = "0-6", **options: Any) -> DatasetJob:
    drawing = {k: options.pop(k) for k in [*options] if k in DrawingOptions.__annotations__}
    return DatasetJob(seeds=Seeds.parse(seeds), options=drawing, **options)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("image_format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")]
)
def test_the_manifest_tells_of_every_image(
    tmp_path: Path,
    fake: Any,
    container: str,
    image_format: str,
    kind: str,
    records: Any,
    members: Any,
) -> None:
    drawer = fake(batch=3, c_dim=5)
    options = {"container": container, "image_format": image_format, "shard_size": 4}
    described = job("3-8,1", class_idx=(0, 1, 4), noise_mode="seeded", **options)
    result = write_dataset(drawer, described, tmp_path / "out")
    assert (result.images, result.drawn) == (7, 7)
    files = members(tmp_path / "out")
    found = records(tmp_path / "out")
    assert [record["seed"] for record in found] == [3, 4, 5, 6, 7, 8, 1] == drawer.drawn
    assert [record["class_idx"] for record in found] == [0, 1, 4, 0, 1, 4, 0]
    for record in found:
        name = "/".join(filter(None, [record.get("shard"), record["file"]]))
        data = files[name]
        assert record["sha256"] == hashlib.sha256(data).hexdigest()
        assert record["bytes"] == len(data)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == kind
            assert image.size == (record["width"], record["height"]) == (4, 4)
        assert record["noise_seed"] == record["seed"]
        assert (record["truncation_psi"], record["truncation_cutoff"]) == (0.5, 3)  # the family's
    told = json.loads(files["job.json"])
    assert (told["images"], told["settings"]["seeds"]) == (7, "3-8,1")
    assert told["bundle"]["sha256"] == "0" * 64


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_pixels_are_the_generators(
    tmp_path: Path, generator: Generator, container: str, records: Any, members: Any
) -> None:
    write_dataset(generator, job("5-9", container=container, truncation_psi=0.7), tmp_path / "out")
    expected = generator.generate(range(5, 10), truncation_psi=0.7)
    files = members(tmp_path / "out")
    for record, image in zip(records(tmp_path / "out"), expected, strict=True):
        name = "/".join(filter(None, [record.get("shard"), record["file"]]))
        with Image.open(io.BytesIO(files[name])) as written:
            assert np.array_equal(np.asarray(written), image)


def test_samples_are_webdatasets(tmp_path: Path, fake: Any, records: Any) -> None:
    options = {"container": "webdataset", "shard_size": 2, "image_format": "jpeg"}
    write_dataset(fake(c_dim=3), job("8-9,1234567890", class_idx=2, **options), tmp_path)
    with tarfile.open(tmp_path / "shard-000000.tar") as shard:
        infos = shard.getmembers()
        assert [info.name for info in infos] == [
            f"00000000{seed}.{kind}" for seed in (8, 9) for kind in ("jpg", "json", "cls")
        ]
        for info in infos:  # of nobody, at no time
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert info.mode == 0o644
        line = shard.extractfile("000000009.json")
        label = shard.extractfile("000000009.cls")
        assert line is not None
        assert label is not None
        assert json.loads(line.read()) == records(tmp_path)[1]
        assert label.read() == b"2"
    for path in tmp_path.glob("*.tar"):
        assert path.stat().st_size % tarfile.RECORDSIZE == 0


def test_a_zip_file_is_of_nobody_at_no_time(tmp_path: Path, fake: Any) -> None:
    write_dataset(fake(), job("0-2", container="zip"), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
    images = [f"seed000{seed}.png" for seed in range(3)]
    assert [info.filename for info in infos] == ["job.json", *images, "manifest.jsonl"]
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert (info.create_system, info.external_attr >> 16) == (3, 0o100644)
        assert info.compress_type == zipfile.ZIP_STORED
    assert os.listdir(tmp_path) == ["out.zip"]


def test_labels_are_told_instead_of_a_class(
    tmp_path: Path, fake: Any, records: Any, members: Any
) -> None:
    labels = np.array([0.25, 0.75], np.float32)
    moved = {"translate": (0.5, -1), "rotate": 30}
    described = job("1", labels=labels, container="webdataset", **moved)
    write_dataset(fake(c_dim=2), described, tmp_path)
    (record,) = records(tmp_path)
    assert record["labels"] == [0.25, 0.75]
    assert "class_idx" not in record
    assert (record["translate"], record["rotate"]) == ([0.5, -1], 30)
    assert not [name for name in members(tmp_path) if ".cls" in name]


def test_a_mix_of_classes_by_their_weights(tmp_path: Path, fake: Any, records: Any) -> None:
    write_dataset(fake(c_dim=4), job("1-2", labels={3: 0.75, np.int64(1): 0.25}), tmp_path)
    assert [record["labels"] for record in records(tmp_path)] == [[0, 0.25, 0, 0.75]] * 2


def test_truncation_by_layers(
    tmp_path: Path, generator: Generator, refuses: Any, records: Any
) -> None:
    psi = {"coarse": np.float32(0.5), 4: 0, ("middle", 5): 2}
    write_dataset(generator, job("5-6", truncation_psi=psi, truncation_cutoff=6), tmp_path)
    for record in records(tmp_path):
        assert list(record["truncation_psi"].items()) == [
            *(("coarse", 0.5), ("4", 0), ("middle,5", 2))
        ]
        options = {key: record[key] for key in ("truncation_psi", "truncation_cutoff")}
        (image,) = generator.generate(record["seed"], **options)
        with Image.open(tmp_path / record["file"]) as written:
            assert np.array_equal(np.asarray(written), image)
    assert not np.array_equal(image, generator.generate(6, truncation_psi=0.5)[0])

    def differs(told: str, psi: Any) -> None:
        with refuses(" holds another job: truncation_psi {'coarse': 0.5, '4': 0.0, ", told):
            write_dataset(generator, job("5-6", truncation_psi=psi, truncation_cutoff=6), tmp_path)

    differs("now 0.5.", 0.5)
    differs("now {'coarse': 0.5, '4': 0.0}.", {"coarse": 0.5, "4": 0})
    differs("now {'coarse': 0.5, 'middle,5': 2.0, '4': 0.0}.", {**psi, 4: 2, "4": 0})
    with refuses("layers: got 'nose', expected 'all'"):
        write_dataset(generator, job(truncation_psi={"nose": 1}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_later_psi_of_a_layer_replaces_an_earlier_one() -> None:
    psi = job(truncation_psi={"3": 0.5, "all": 0.6, 3: 0.7}).options["truncation_psi"]
    assert isinstance(psi, dict)
    assert list(psi.items()) == [("all", 0.6), ("3", 0.7)]


@pytest.mark.filterwarnings("ignore:No class was chosen")
@pytest.mark.parametrize("classes", [None, "dog", ("dog", "fish"), (1, "fish")])
def test_classes_by_name_or_by_seed(
    tmp_path: Path, fake: Any, records: Any, members: Any, classes: Any
) -> None:
    drawer = fake(c_dim=3)
    drawer.classes = Classes(3, ("cat", "dog", "fish"))
    expected = {None: [5, 6, 7], "dog": [1, 1, 1]}.get(classes, [1, 2, 1])
    numbers = [number % 3 for number in expected]
    write_dataset(drawer, job("5-7", class_idx=classes), tmp_path / "named")
    named = records(tmp_path / "named")
    assert [record["class_idx"] for record in named] == numbers
    assert [record["class"] for record in named] == [drawer.classes.names[n] for n in numbers]
    write_dataset(fake(c_dim=3), job("5-7", class_idx=tuple(numbers)), tmp_path / "numbered")
    assert pictures(members(tmp_path / "named")) == pictures(members(tmp_path / "numbered"))


def pictures(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.endswith(".png")}


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_bytes_depend_on_nothing_but_the_job(
    tmp_path: Path, fake: Any, contents: Contents, container: str
) -> None:
    described = job("0-40", container=container, shard_size=7)
    for encoders in (1, 4):
        folder = tmp_path / str(encoders)
        write_dataset(fake(), described, folder / "out.zip", encoders=encoders)
    assert contents(tmp_path / "1") == contents(tmp_path / "4")


def test_quality_and_compression_reach_the_encoder(tmp_path: Path, fake: Any, records: Any) -> None:
    drawer = fake(size=32)

    def size(name: str, **options: Any) -> int:
        write_dataset(drawer, job("1", **options), tmp_path / name)
        return int(records(tmp_path / name)[0]["bytes"])

    assert size("a", image_format="jpeg", quality=20) < size("b", image_format="jpeg")
    assert size("c", image_format="webp", quality=20) < size("d", image_format="webp", quality=95)
    drawer.generate = lambda seeds, **_: np.zeros((len(seeds), 32, 32, 3), np.uint8)
    assert size("e", compression=0) > size("f", compression=9)
    with Image.open(tmp_path / "b" / "seed0001.jpg") as image:
        assert image.layer[0][1:3] == (1, 1)  # type: ignore[attr-defined]  # full chroma


def test_shards_are_the_same_whoever_writes_them(
    tmp_path: Path, fake: Any, contents: Contents
) -> None:
    described = job("0-20", container="webdataset", shard_size=6)
    write_dataset(fake(), described, tmp_path / "one")
    DatasetWriter(fake(), described, tmp_path / "many").start()
    for number in (2, 0, 3, 1):
        writer = DatasetWriter(fake(), described, tmp_path / "many")
        assert not writer.is_complete()
        assert writer.write([number]) == (3 if number == 3 else 6)
    writer.finish()
    assert writer.is_complete()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert list(writer.files()) == [tmp_path / "many" / f"shard-00000{n}.tar" for n in range(4)]


def test_all_shards_must_be_there_at_the_end(tmp_path: Path, fake: Any, refuses: Any) -> None:
    writer = DatasetWriter(fake(), job(container="webdataset", shard_size=3), tmp_path)
    with refuses("has no job.json. Call start before write"):
        writer.write()
    writer.start()
    for number in (3, -1):
        with refuses(f"shards: got {number}, expected an integer of 0 to 2"):
            writer.write([0, number])
    writer.write([0, 2])
    with refuses("shard 1 is not complete yet"):
        writer.finish()


@pytest.mark.parametrize("encoders", [0, -1, 1.5, True])
def test_how_many_encode(tmp_path: Path, fake: Any, refuses: Any, encoders: Any) -> None:
    with refuses(f"encoders: got {encoders}, expected an integer of 1 to 1024"):
        write_dataset(fake(), job(), tmp_path / "out", encoders=encoders)


@pytest.mark.parametrize("container", CONTAINERS)
def test_memory_does_not_grow_with_the_seeds(tmp_path: Path, fake: Any, container: str) -> None:
    def peak(images: int) -> int:
        described = DatasetJob(
            seeds=Seeds.of(range(images)), container=container, image_format="jpeg", shard_size=100
        )
        drawer = fake(size=1, batch=16)
        drawer.drawn = None  # type: ignore[assignment]
        drawer.generate = lambda seeds, **_: np.zeros((len(seeds), 1, 1, 3), np.uint8)
        tracemalloc.start()
        try:
            write_dataset(drawer, described, tmp_path / str(images), encoders=2)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # the modules that are loaded on the way
    directory = 400 * 450 if container == "zip" else 0  # of which `zipfile` keeps all
    assert peak(500) < peak(100) + 100_000 + directory  # all names and records would be 250 kB
