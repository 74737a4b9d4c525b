"""A repaired data set has the bytes that it would have, had nothing happened."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import (
    DatasetJob,
    Seeds,
    StyleFile,
    open_as_drawn,
    repair_dataset,
    verify_dataset,
    write_dataset,
)
from stylert.runtime.generator import Generator
from stylert.runtime.labels import Classes

Contents = Callable[[Path], dict[str, bytes]]
Files = dict[str, bytes]

KINDS = [
    {"container": "folder"},
    {"container": "folder", "layout": "huggingface"},
    {"container": "zip", "layout": "stylegan"},
    {"container": "zip"},
    {"container": "webdataset"},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
pytestmark = pytest.mark.filterwarnings("ignore:No class was chosen")


def job(seeds: str = "0-9", **options: Any) -> DatasetJob:
    return DatasetJob(seeds=Seeds.parse(seeds), shard_size=6, **options)


@pytest.fixture
def drawer(fake: Any) -> Any:
    """Draws with a batch that divides no shard."""

    def make() -> Any:
        made = fake(c_dim=3, batch=4)
        made.classes = Classes(3, ("cat", "dog", "fish"))
        return made

    return make


def flip(data: bytes, place: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def put(folder: Path, files: Files) -> None:
    """Make a folder hold these files, and no others."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@kinds
@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_every_flipped_bit_is_found_and_repaired(
    tmp_path: Path, drawer: Any, contents: Contents, kind: dict[str, Any], image_format: str
) -> None:
    """A zip file's directory is the exception: of that, only what a reader would notice."""
    write_dataset(drawer(), job(image_format=image_format, **kind), tmp_path / "out")
    whole = contents(tmp_path)
    assert verify_dataset(tmp_path / "out").is_whole
    random = np.random.RandomState(1)
    for name in sorted(whole.keys() - {"out/job.json"}):
        size = len(whole[name])
        if kind["container"] == "zip":  # job.json at its start, and the directory at its end
            size = whole[name].index(b"PK\1\2")
        first = whole[name].index(b"seed0000") - 30 if kind["container"] == "zip" else 0
        for place in random.randint(first, size, 2 if "seed" in name else 15):
            (tmp_path / name).write_bytes(flip(whole[name], place, random.randint(8)))
            report = verify_dataset(tmp_path / "out")
            assert report.damaged or report.missing, (name, place)
            assert repair_dataset(drawer(), report) == len(report.places) <= 2
            assert contents(tmp_path) == whole, (name, place)


@kinds
def test_what_is_gone_is_drawn_again_and_nothing_else(
    tmp_path: Path, drawer: Any, contents: Contents, kind: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    write_dataset(drawer(), job(**kind), out)
    whole = contents(tmp_path)
    again = drawer()
    told: list[tuple[int, int]] = []
    if kind["container"] == "folder":
        for seed in (5, 9):
            (out / f"seed000{seed}.png").unlink()
        drawn, batches = 2, [4, 5, 6, 7, 8, 9]
    elif kind["container"] == "webdataset":
        (out / "shard-000001.tar").unlink()
        drawn, batches = 4, [6, 7, 8, 9]
    else:
        place = whole["out"].index(b"seed0005")
        out.write_bytes(flip(whole["out"], place))
        drawn, batches = 1, [4, 5, 6, 7]
    report = verify_dataset(out)
    assert repair_dataset(again, report, progress=lambda *counts: told.append(counts)) == drawn
    assert again.drawn == batches
    assert (told[0], told[-1]) == ((0, drawn), (drawn, drawn))
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("kind", [KINDS[1], KINDS[-1]], ids=["folder", "webdataset"])
def test_all_is_gone_but_the_job(
    tmp_path: Path, drawer: Any, contents: Contents, kind: dict[str, Any]
) -> None:
    write_dataset(drawer(), job(**kind), tmp_path / "out")
    whole = contents(tmp_path)
    put(tmp_path, {"out/job.json": whole["out/job.json"], "out/manifest.jsonl": b""})
    report = verify_dataset(tmp_path / "out")
    assert repair_dataset(drawer(), report) == 10
    assert contents(tmp_path) == whole


@kinds
def test_a_whole_one_stays_as_it_is(
    tmp_path: Path, drawer: Any, contents: Contents, kind: dict[str, Any]
) -> None:
    write_dataset(drawer(), job(**kind), tmp_path / "out")
    whole = contents(tmp_path)
    again = drawer()
    assert repair_dataset(again, verify_dataset(tmp_path / "out")) == 0
    assert again.drawn == []
    assert contents(tmp_path) == whole


@kinds
def test_another_bundle_or_software_is_refused(
    tmp_path: Path, drawer: Any, fake: Any, contents: Contents, refuses: Any, kind: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    write_dataset(drawer(), job(**kind), out)
    file = next(path for path in (out, *sorted(out.glob("s*"))) if path.is_file())
    file.write_bytes(flip(file.read_bytes(), 2000 if file == out else 60))
    before, report = contents(tmp_path), verify_dataset(out)
    assert report.damaged

    def differs(by: Any, *words: str) -> None:
        advice = "Repair it with the bundle and the software that drew it."
        with refuses(f"{out} holds another job: ", *words, advice):
            repair_dataset(by, report)
        assert by.drawn == []
        assert contents(tmp_path) == before

    other = drawer()
    other.bundle.manifest["sha256"] = "1" * 64
    differs(other, "bundle.sha256 '000", "now '111")
    differs(fake(c_dim=3, batch=3), "batch 4, now 3")
    later = drawer()
    later.describe = lambda: {"backend": "fake", "version": "2"}
    differs(later, "version '1', now '2'")


@kinds
def test_a_processor_that_rounds_in_another_way_is_refused(
    tmp_path: Path, drawer: Any, contents: Contents, refuses: Any, kind: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    write_dataset(drawer(), job(**kind), out)
    file = next(path for path in (out, *sorted(out.glob("s*"))) if path.is_file())
    file.write_bytes(flip(file.read_bytes(), 2000 if file == out else 60))
    before, report, other = contents(tmp_path), verify_dataset(out), drawer()
    draw = other.generate
    other.generate = lambda *seeds, **options: draw(*seeds, **options) ^ 1
    with refuses(".png: drawn again, its SHA-256 is ", "this processor rounds in another way"):
        repair_dataset(other, report)
    assert contents(tmp_path) == before
    assert repair_dataset(drawer(), report) == 1


@pytest.mark.parametrize("container", ["folder", "zip", "webdataset"])
def test_styles_of_a_file(
    tmp_path: Path, generator: Generator, contents: Contents, refuses: Any, container: str
) -> None:
    ws = generator.map(np.random.RandomState(0).randn(4, generator.spec.z_dim))
    styles = StyleFile("ws.npy", "1" * 64, ws)
    kind = {"container": container, "image_format": "npy", "dtype": "float32"}
    write_dataset(generator, job("0-3", ws=styles, **kind), tmp_path / "out")
    whole = contents(tmp_path)
    name = {"folder": "out/ws0002.npy", "zip": "out", "webdataset": "out/shard-000000.tar"}
    broken = {**whole, name[container]: flip(whole[name[container]], 4000)}
    put(tmp_path, broken)
    report = verify_dataset(tmp_path / "out")
    assert (len(report.damaged), len(report.places)) == (1, 1)
    for wrong in (None, StyleFile("ws.npy", "2" * 64, ws)):
        with refuses("ws: got ", "expected ws.npy of SHA-256 111111111111..., whose styles are"):
            repair_dataset(generator, report, ws=wrong)
        assert contents(tmp_path) == broken
    moved = StyleFile("moved.npy", "1" * 64, ws)
    assert repair_dataset(generator, report, ws=moved) == 1
    assert contents(tmp_path) == whole


def test_surplus_files_stay(tmp_path: Path, drawer: Any, refuses: Any) -> None:
    write_dataset(drawer(), job(), tmp_path / "out")
    (tmp_path / "out" / "seed0003.png").unlink()
    (tmp_path / "out" / "cat.png").write_text("mine")
    repair_dataset(drawer(), verify_dataset(tmp_path / "out"))
    report = verify_dataset(tmp_path / "out")
    assert (report.damaged, report.missing, report.surplus) == ((), (), ("cat.png",))
    assert (tmp_path / "out" / "cat.png").read_text() == "mine"
    write_dataset(drawer(), job(container="zip"), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip", "a") as archive:
        archive.writestr("cat.png", "mine")
    before = (tmp_path / "out.zip").read_bytes()
    with refuses("out.zip: got 'cat.png' in it, which is not of the data set. Take it out first"):
        repair_dataset(drawer(), verify_dataset(tmp_path / "out.zip"))
    assert (tmp_path / "out.zip").read_bytes() == before


def test_an_image_that_changes_after_it_was_verified(
    tmp_path: Path, drawer: Any, refuses: Any
) -> None:
    write_dataset(drawer(), job(container="webdataset"), tmp_path / "out")
    shard = tmp_path / "out" / "shard-000000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(flip(whole, 600))
    report = verify_dataset(tmp_path / "out")
    shard.write_bytes(flip(flip(whole, 600), whole.index(b"000000003.png")))
    with refuses("000000003.png has changed since it was verified. Verify it again."):
        repair_dataset(drawer(), report)


@pytest.mark.parametrize("container", ["folder", "zip", "webdataset"])
def test_a_bundle_is_opened_as_the_data_set_was_drawn(
    tmp_path: Path, bundle: Path, contents: Contents, container: str
) -> None:
    """A backend rounds by the batch: with another one, other bytes come out."""
    options: dict[str, Any] = {"provider": "cpu", "threads": 1, "precision": "fp32"}
    with Generator.open(bundle, max_batch=3, **options) as generator:
        write_dataset(generator, job("0-6", container=container), tmp_path / "out")
    whole = contents(tmp_path)
    name = {"folder": "out/seed0004.png", "zip": "out", "webdataset": "out/shard-000000.tar"}
    put(tmp_path, {**whole, name[container]: flip(whole[name[container]], 1700)})
    report = verify_dataset(tmp_path / "out")
    assert report.damaged
    with open_as_drawn(bundle, tmp_path / "out") as generator:
        assert (generator.max_batch, generator.describe()["threads"]) == (3, 1)
        assert repair_dataset(generator, report) == 1
    assert contents(tmp_path) == whole
