"""The labels of data sets, as Hugging Face and the original training tools read them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.apps.datasets import DatasetJob, DatasetWriter, Seeds, write_dataset
from stylert.runtime.drawing_options import DrawingOptions
from stylert.runtime.labels import Classes

pytestmark = pytest.mark.filterwarnings("ignore:No class was chosen")

# Loads each data set with the datasets library, offline, and tells what it found.
LOAD = """
import datasets, json, sys
datasets.disable_progress_bars()
for name, options in json.load(sys.stdin):
    found = datasets.load_dataset(name, split="train", **options)
    picture, *columns = sorted(found.features, key=lambda column: column not in ("image", "png"))
    text = found.features.get("label") == datasets.Value("string")
    names = found.class_encode_column("label").features["label"].names if text else None
    columns = {column: found[column][:] for column in columns}
    print(json.dumps({"size": found[0][picture].size, "columns": columns, "names": names}))
"""
READ = """
import json, sys, webdataset
for sample in webdataset.WebDataset(sys.stdin.read(), shardshuffle=False).decode("rgb8"):
    facts = [sample["__key__"], sample["png"].shape, sample["cls"], sample["json"]]
    print(json.dumps(facts))
"""


def job(seeds: str = "0-6", **options: Any) -> DatasetJob:
    drawing = {k: options.pop(k) for k in [*options] if k in DrawingOptions.__annotations__}
    return DatasetJob(seeds=Seeds.parse(seeds), options=drawing, **options)  # type: ignore[typeddict-item]


@pytest.fixture
def run(tmp_path: Path, warm_python: None) -> Callable[[str, str], list[Any]]:
    """Runs a program in a process of its own, as these libraries change much in theirs."""

    def run(program: str, given: str) -> list[Any]:
        process = subprocess.run(
            [sys.executable, "-c", program],
            input=given,
            env={**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return [json.loads(line) for line in process.stdout.splitlines()]

    return run


def test_the_datasets_library_loads_them(tmp_path: Path, fake: Any, run: Any) -> None:
    named = fake(c_dim=3)
    named.classes = Classes(3, ("dog", "cat", "fish"))
    described = {"layout": "huggingface"}
    write_dataset(named, job("4-7", **described), tmp_path / "named")
    zipped = tmp_path / "out.zip"
    write_dataset(fake(c_dim=12), job("9-11", container="zip", **described), zipped)
    write_dataset(fake(), job("0-2", **described), tmp_path / "plain")
    soft = np.array([0.25, 0.75])
    write_dataset(fake(c_dim=2), job("0-2", labels=soft, **described), tmp_path / "soft")
    shards = job("4-7", container="webdataset", shard_size=2)
    write_dataset(named, shards, tmp_path / "shards")
    wanted = (
        ("imagefolder", {"data_dir": str(tmp_path / "named")}),
        (str(tmp_path / "named"), {}),
        ("imagefolder", {"data_files": str(zipped)}),
        ("imagefolder", {"data_dir": str(tmp_path / "plain")}),
        ("imagefolder", {"data_dir": str(tmp_path / "soft")}),
        ("webdataset", {"data_files": str(tmp_path / "shards" / "*.tar")}),
    )
    folder, direct, archive, plain, mixed, samples = run(LOAD, json.dumps(wanted))
    assert folder == direct
    assert folder["size"] == [4, 4]
    assert folder["columns"] == {"label": ["cat", "fish", "dog", "cat"], "seed": [4, 5, 6, 7]}
    assert folder["names"] == ["cat", "dog", "fish"]
    assert archive["columns"] == {"label": [9, 10, 11], "seed": [9, 10, 11]}
    assert plain["columns"] == {"seed": [0, 1, 2]}
    assert mixed["columns"] == {"label": [[0.25, 0.75]] * 3, "seed": [0, 1, 2]}
    assert samples["columns"]["cls"] == [1, 2, 0, 1]
    assert [facts["class"] for facts in samples["columns"]["json"]] == ["cat", "fish", "dog", "cat"]


def test_the_webdataset_library_reads_shards(tmp_path: Path, fake: Any, run: Any) -> None:
    drawer = fake(c_dim=3)
    drawer.classes = Classes(3, ("dog", "cat", "fish"))
    write_dataset(drawer, job("0-4", container="webdataset", shard_size=2), tmp_path / "out")
    samples = run(READ, str(tmp_path / "out" / "shard-{000000..000002}.tar"))
    assert [sample[:3] for sample in samples] == [
        [f"00000000{seed}", [4, 4, 3], seed % 3] for seed in range(5)
    ]
    assert [sample[3]["class"] for sample in samples] == ["dog", "cat", "fish", "dog", "cat"]


def stylegan_labels(out: Path) -> np.ndarray | None:
    """Labels as the original tools find them: of all pictures, in the order of their names."""
    if out.is_dir():
        files = {path.name: path.read_bytes() for path in out.iterdir()}
    else:
        with zipfile.ZipFile(out) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    pictures = [n for n in sorted(files) if Path(n).suffix in Image.registered_extensions()]
    for name in pictures:
        with Image.open(io.BytesIO(files[name])) as image:
            assert image.size == (4, 4)
    told = json.loads(files["dataset.json"])["labels"]
    if told is None:
        return None
    labels = np.array([dict(told)[name] for name in pictures])
    return labels.astype({1: np.int64, 2: np.float32}[labels.ndim])


@pytest.mark.parametrize("container", ["folder", "zip"])
def test_the_original_tools_find_the_labels(tmp_path: Path, fake: Any, container: str) -> None:
    options = {"layout": "stylegan", "container": container}
    write_dataset(fake(c_dim=3), job("5-8,2", **options), tmp_path / "classes.zip")
    labels = stylegan_labels(tmp_path / "classes.zip")
    assert labels is not None
    assert labels.tolist() == [2, 2, 0, 1, 2]  # of the seeds 2, 5, 6, 7, 8
    write_dataset(fake(), job(**options), tmp_path / "plain.zip")
    assert stylegan_labels(tmp_path / "plain.zip") is None
    write_dataset(fake(c_dim=2), job("0-2", labels=(0.5, 0.5), **options), tmp_path / "soft.zip")
    labels = stylegan_labels(tmp_path / "soft.zip")
    assert labels is not None
    assert labels.tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize("container", ["folder", "zip"])
@pytest.mark.parametrize("layout", ["huggingface", "stylegan"])
def test_a_layout_is_made_after_a_crash_and_goes_with_its_data_set(
    tmp_path: Path, fake: Any, contents: Any, container: str, layout: str
) -> None:
    described = job(container=container, layout=layout)
    plain = job(container=container)
    write_dataset(fake(), described, tmp_path / "whole" / "out")
    out = tmp_path / "stopped" / "out"
    writer = DatasetWriter(fake(), described, out)
    writer.start()
    writer.write()  # all images, and then it was killed
    assert write_dataset(fake(), described, out).drawn == 0
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    write_dataset(fake(), plain, out, force=True)
    write_dataset(fake(), plain, tmp_path / "plain" / "out")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "plain")


def test_the_layout_is_of_the_job(tmp_path: Path, fake: Any, refuses: Any) -> None:
    write_dataset(fake(), job(), tmp_path / "out")
    with refuses(" holds another job: layout None, now 'stylegan'. "):
        write_dataset(fake(), job(layout="stylegan"), tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metadata.jsonl").write_text("mine")
    with refuses("metadata.jsonl exists. Pass force=True to replace it"):
        write_dataset(fake(), job(layout="huggingface"), tmp_path / "mine")
    with refuses("layout: got 'coco', expected 'huggingface' or 'stylegan'"):
        job(layout="coco")
    with refuses("layout: got 'stylegan' for npy, which its readers do not read"):
        job(layout="stylegan", image_format="npy")
    with refuses("layout: got 'stylegan' for WebDataset shards, whose samples have their labels"):
        job(layout="stylegan", container="webdataset")
