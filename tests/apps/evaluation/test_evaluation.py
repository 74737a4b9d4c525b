"""From pictures to figures: data sets of all kinds, going on, statistics, drift, and refusals."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.apps.datasets import DatasetJob, DatasetWriter, Seeds, open_for_workers
from stylert.apps.evaluation import (
    Features,
    check_network,
    draw_sheet,
    estimate_path_length,
    evaluate,
    extract_data,
    extract_drawn,
    measure_drift,
    measure_frechet,
    measure_moments,
    open_data,
    open_network,
    rank_pictures,
    read_statistics,
    write_statistics,
)
from stylert.apps.evaluation.path_length import slerp
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.errors import InvalidInput

SPEC = GeneratorSpec(8, 0, 8, 4, 3, 6, 6, 0.5, 3)


class PixelNetwork:
    """Features are some pixels; a test needs no ONNX for them."""

    name, licence, sha256, size, dim = "pixels", "none", "0" * 64, 6, 8

    def describe(self) -> dict[str, Any]:
        names = ("name", "dim", "size", "sha256", "licence")
        return {**{name: getattr(self, name) for name in names}, "resize": "bilinear"}

    def extract(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)[:, 20:28].astype(np.float32)


@pytest.fixture
def network() -> Any:
    return PixelNetwork()


def make_job(count: int) -> DatasetJob:
    return DatasetJob(seeds=Seeds.of(range(count)))


@pytest.fixture
def open_fake(fake: type) -> Callable[..., Any]:
    """A generator whose facts do not depend on its batch."""

    def open_one(**options: Any) -> Any:
        generator = fake(size=6, **options)
        generator.choice = "fake"
        return generator

    return open_one


def draw(seed: int, count: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)


def encode(image: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def write_folder(path: Path, images: np.ndarray) -> Path:
    for i, image in enumerate(images):
        file = path / f"part{i % 2}" / f"{i:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(image))
    labels = [[f"part{i % 2}/{i:03d}.png", i % 3] for i in range(len(images))]
    (path / "dataset.json").write_text(json.dumps({"labels": labels}))
    return path


def write_zip(path: Path, images: np.ndarray) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, image in enumerate(images):
            archive.writestr(f"{i:03d}.png", encode(image))
        lines = [json.dumps({"file": f"{i:03d}.png", "class_idx": i % 3}) for i in range(12)]
        archive.writestr("manifest.jsonl", "\n".join(lines))
    return path


def write_shards(path: Path, images: np.ndarray) -> Path:
    path.mkdir()
    for number in range(2):
        with tarfile.open(path / f"shard-{number}.tar", "w") as archive:
            for i in range(number * 6, number * 6 + 6):
                for name, data in ((f"{i}.png", encode(images[i])), (f"{i}.cls", b"%d" % (i % 3))):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("write", [write_folder, write_zip, write_shards])
def test_data_of_all_kinds_with_their_classes(
    write: Callable[[Path, np.ndarray], Path], network: Any, tmp_path: Path
) -> None:
    images = draw(0)
    name = "data.ZIP" if write is write_zip else "data"
    data = open_data(write(tmp_path / name, images), SPEC)
    features = extract_data(data, network, tmp_path / "features")
    order = [*range(0, 12, 2), *range(1, 12, 2)] if write is write_folder else range(12)
    assert np.array_equal(features.rows, network.extract(images[[*order]]))
    assert features.classes.tolist() == [i % 3 for i in order]


@pytest.mark.parametrize(("write", "lister"), [(write_folder, os), (write_zip, zipfile)])
def test_data_is_listed_once(
    write: Callable[[Path, np.ndarray], Path],
    lister: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder of a million pictures on a network disk takes minutes to list."""
    name = "walk" if lister is os else "ZipFile"
    path = write(tmp_path / ("data.zip" if write is write_zip else "data"), draw(0))
    listed: list[Path] = []
    original = getattr(lister, name)

    def count(place: Any, *others: Any) -> Any:
        listed.append(Path(place))
        return original(place, *others)

    monkeypatch.setattr(lister, name, count)
    assert len(open_data(path, SPEC)) == 12
    assert listed.count(path) == 1


@pytest.mark.parametrize("write", [write_folder, write_zip, write_shards])
def test_features_of_pictures_that_were_there_before_are_no_others(
    write: Callable[[Path, np.ndarray], Path], network: Any, tmp_path: Path
) -> None:
    """The same names in the same place: a data set that was drawn again with another psi."""
    path = tmp_path / ("data.zip" if write is write_zip else "data")
    before = extract_data(open_data(write(path, draw(0)), SPEC), network, tmp_path / "kept")
    again = extract_data(open_data(path, SPEC), network, tmp_path / "kept")
    assert np.array_equal(before.rows, again.rows)
    path.rename(tmp_path / f"old-{path.name}")
    write(path, draw(1))
    with pytest.raises(InvalidInput, match=r"another evaluation: files '\w+', now '"):
        extract_data(open_data(path, SPEC), network, tmp_path / "kept")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((6, 5, 3), np.uint8), "is 5x6 RGB, expected 6x6 RGB"),
        (np.zeros((6, 6), np.uint8), "is 6x6 L, expected 6x6 RGB"),
        (np.zeros((6, 6, 4), np.uint8), "is 6x6 RGBA, expected 6x6 RGB"),
    ],
)
def test_pictures_of_another_size_or_mode_are_refused(
    image: np.ndarray, message: str, network: Any, tmp_path: Path
) -> None:
    path = write_folder(tmp_path / "data", draw(0))
    (path / "x.png").write_bytes(encode(image))
    with pytest.raises(InvalidInput, match=f"x.png {message}"):
        extract_data(open_data(path, SPEC), network, tmp_path / "features")


def test_what_is_no_data_is_refused(network: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no pictures"):
        open_data(tmp_path / "empty", SPEC)
    with pytest.raises(InvalidInput, match="there is no such folder"):
        open_data(tmp_path / "none", SPEC)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_data(tmp_path / "bad.zip", SPEC)
    (tmp_path / "empty" / "x.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"x\.png is no picture"):
        extract_data(open_data(tmp_path / "empty", SPEC), network, tmp_path / "f")


def test_data_that_are_not_complete_are_refused(open_fake: Any, tmp_path: Path) -> None:
    """Half of a data set has other figures than the whole."""
    job = replace(make_job(4), container="zip")
    writer = DatasetWriter(open_fake(), job, tmp_path / "data.zip")
    writer.start()
    for name in ("data.zip", "data.zip.partial"):
        with pytest.raises(InvalidInput, match=rf"data: .*{name} .* so it is not complete"):
            open_data(tmp_path / name, SPEC)
    writer.write()
    writer.finish()
    assert len(open_data(tmp_path / "data.zip", SPEC)) == 4


def test_it_goes_on_where_it_was(open_fake: Any, network: Any, tmp_path: Path) -> None:
    """After Ctrl-C; the features are those of one run. A kill -9 is in the tests of the command."""
    whole = extract_drawn(open_fake(), make_job(100), network, tmp_path / "whole")
    stopping = open_fake()
    draw_on = stopping.generate

    def fail(seeds: list[int], **options: Any) -> np.ndarray:
        if seeds[0] >= 64:
            raise KeyboardInterrupt
        return np.asarray(draw_on(seeds, **options))

    stopping.generate = fail
    with pytest.raises(KeyboardInterrupt):
        extract_drawn(stopping, make_job(100), network, tmp_path / "kept")
    rest = open_fake()
    again = extract_drawn(rest, make_job(100), network, tmp_path / "kept")
    assert min(rest.drawn) == 64
    assert np.array_equal(whole.rows, again.rows)
    third = open_fake()
    extract_drawn(third, make_job(100), network, tmp_path / "kept")
    assert not third.drawn


def test_workers_draw_at_the_same_time_and_change_no_row(
    open_fake: Any, network: Any, tmp_path: Path
) -> None:
    alone = extract_drawn(open_fake(), make_job(100), network, tmp_path / "alone")
    generator = open_fake()
    generate, all_here = generator.generate, threading.Barrier(3)

    def wait_for_the_others(seeds: list[int], **options: Any) -> np.ndarray:
        if seeds[0] in (0, 8, 16):  # the first parts
            all_here.wait(30)
        return np.asarray(generate(seeds, **options))

    generator.generate = wait_for_the_others
    done: list[int] = []
    found = extract_drawn(
        *(generator, make_job(100), network, tmp_path / "workers"),
        workers=3,
        progress=lambda stage, rows, total: done.append(rows),
    )
    assert np.array_equal(found.rows, alone.rows)
    assert np.array_equal(found.classes, alone.classes)
    assert done == [*range(0, 100, 8), 100]


@pytest.mark.parametrize(
    ("asked", "threads", "max_batch", "workers"),
    [
        ({"threads": 1}, 1, 8, 1),
        ({"threads": 3}, 1, 2, 3),
        ({"threads": 12}, 5, 1, 8),  # a pool that all share: never more pictures than a batch
        ({"threads": 3, "max_batch": 1}, 3, 1, 1),
        ({"threads": 3, "backend": "openvino"}, 3, 8, 1),  # its calls wait for each other
    ],
)
def test_a_bundle_is_opened_for_workers(
    asked: dict[str, Any], threads: int, max_batch: int, workers: int, tiny_bundle: Path
) -> None:
    generator, found = open_for_workers(tiny_bundle, provider="auto", **asked)
    with generator:
        assert found == workers
        assert (generator.describe()["threads"], generator.max_batch) == (threads, max_batch)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_features_that_are_not_finite_end_it(
    workers: int, open_fake: Any, tmp_path: Path
) -> None:
    g = GraphBuilder("logarithms")  # of black
    x = g.input("pixels", ["N", 3, 6, 6])
    means = g.op("Flatten", g.op("GlobalAveragePool", x, name="pooled"), name="rows", axis=1)
    g.output(g.op("Log", means, name="logarithms"), "features", "float32", ["N", 3])
    told = {"stylert.name": "logs", "stylert.range": "-255,0", "stylert.resize": "bilinear"}
    g.save(tmp_path / "logs.onnx", metadata=told)
    network = open_network(tmp_path / "logs.onnx", threads=1)
    generator = open_fake()
    with pytest.raises(InvalidInput, match="got numbers that are not finite from logs, expected"):
        extract_drawn(generator, make_job(1000), network, tmp_path / "kept", workers=workers)
    assert len(generator.drawn) < 100
    assert not list((tmp_path / "kept").iterdir())


def test_a_folder_of_another_evaluation_is_left_alone(
    open_fake: Any, network: Any, tmp_path: Path
) -> None:
    extract_drawn(open_fake(), make_job(20), network, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        InvalidInput, match="another evaluation: seeds '0-19', now '0-20'; count 20, now 21"
    ):
        extract_drawn(open_fake(), make_job(21), network, tmp_path)
    (tmp_path / "drawn.json").write_text("{")
    with pytest.raises(InvalidInput, match="is damaged"):
        extract_drawn(open_fake(), make_job(20), network, tmp_path)
    assert (tmp_path / "drawn.features.npy").read_bytes() == before["drawn.features.npy"]


def make_features(seed: int, count: int) -> Features:
    images = draw(seed, count)
    return Features(PixelNetwork().extract(images), np.arange(count, dtype=np.int64) % 3)


def test_all_figures_and_those_of_each_class(network: Any) -> None:
    drawn, data = make_features(0, 60), make_features(1, 90)
    found = evaluate(drawn, data, network, by_class=True)
    assert list(found.figures) == ["fid", "kid", "precision", "recall", "density", "coverage"]
    assert found.figures["fid"].value == measure_frechet(drawn.rows, data.rows)
    assert sorted(found.by_class) == [0, 1, 2]
    own = measure_frechet(drawn.rows[1::3], data.rows[1::3])
    assert found.by_class[1]["fid"].value == pytest.approx(own)
    told = json.loads(json.dumps(found.to_json()))
    assert told["network"]["name"] == "pixels"
    assert told["figures"]["fid"]["interval95"][0] < told["figures"]["fid"]["value"]


def test_features_that_say_nothing_are_refused(network: Any) -> None:
    good = make_features(0, 20)
    for rows, message in (
        (np.full((20, 8), np.nan, np.float32), "numbers that are not finite"),
        (
            np.ones((20, 8), np.float32),
            "got equal ones for all 20 of the drawn pictures, expected pictures",
        ),
        (np.ones((1, 8), np.float32), "got 'fid' with 1 drawn pictures, expected at least 2"),
    ):
        with pytest.raises(InvalidInput, match=message):
            evaluate(replace(good, rows=rows), good, network)
    with pytest.raises(InvalidInput, match="got 'kid' with statistics, which give FID alone"):
        evaluate(good, measure_moments(good.rows), network, ["kid"])
    with pytest.raises(InvalidInput, match="got 'dc' with 5 pictures of the data, expected at"):
        evaluate(good, make_features(1, 5), network)
    with pytest.raises(InvalidInput, match="got 'pr' with 3 pictures of the data of class 1, exp"):
        evaluate(good, make_features(1, 10), network, ["fid", "pr"], by_class=True)
    same = replace(good, rows=np.ones((20, 8), np.float32))
    found = evaluate(same, good, network, one_picture=True).figures  # as with a psi of 0
    assert found["fid"].value == pytest.approx(
        np.square(good.rows.astype(np.float64).mean(0) - 1).sum()
        + good.rows.astype(np.float64).var(0, ddof=1).sum()
    )
    none = replace(good, classes=np.full(20, -1, np.int64))
    with pytest.raises(InvalidInput, match="got no class that the data and"):
        evaluate(none, good, network, by_class=True)


def test_statistics_are_kept(network: Any, tmp_path: Path) -> None:
    moments = measure_moments(make_features(0, 30).rows)
    path = tmp_path / "stats.npz"
    write_statistics(path, moments, network)
    found = read_statistics(path)
    assert (found.source, found.moments.count) == ("stylert", 30)
    assert np.array_equal(found.moments.cov, moments.cov)
    check_network(found, network, path)
    other = PixelNetwork()
    other.name = "others"
    with pytest.raises(InvalidInput, match="with the name 'pixels', expected 'others'"):
        check_network(found, other, path)  # type: ignore[arg-type]
    other.dim = 9
    with pytest.raises(InvalidInput, match="of 8 dimensions, expected 9"):
        check_network(found, other, path)  # type: ignore[arg-type]


def test_statistics_of_other_tools(tmp_path: Path) -> None:
    rows = make_features(0, 30).rows.astype(np.float64)
    clean = tmp_path / "clean.npz"
    np.savez(clean, mu=rows.mean(0), sigma=np.cov(rows.T))
    assert measure_frechet(read_statistics(clean).moments, rows) == pytest.approx(0, abs=1e-7)
    sums = {
        "capture_all": False,
        "capture_mean_cov": True,
        "max_items": None,
        "num_items": 30,
        "num_features": 8,
        "all_features": None,
        "raw_mean": rows.sum(0),
        "raw_cov": rows.T @ rows,
    }
    for protocol in (2, 4, 5):
        path = tmp_path / "nvlabs.pkl"
        path.write_bytes(pickle.dumps(sums, protocol))
        found = read_statistics(path)
        assert (found.source, found.moments.count) == ("NVlabs", 30)
        assert np.allclose(found.moments.cov, np.cov(rows.T, ddof=0), atol=1e-8)


def test_no_statistics_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    def refuse(data: bytes, message: str) -> None:
        path = tmp_path / "x.npz"
        path.write_bytes(data)
        with pytest.raises(InvalidInput, match=message):
            read_statistics(path)

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "run"), "w"))

    refuse(pickle.dumps(Evil()), "Cannot read")
    assert not (tmp_path / "run").exists()
    refuse(pickle.dumps([1]), "holds a list")
    refuse(b"", "holds no statistics|Cannot read")
    for arrays, message in (
        ({"mu": np.zeros(3)}, "holds no statistics"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, "have the shapes"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "not finite"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 5], [0, 1]])}, "its covariance is none"),
        ({"mu": np.array([{}]), "sigma": np.eye(1)}, "holds Python objects"),
    ):
        file = io.BytesIO()
        np.savez(file, **arrays)
        refuse(file.getvalue(), message)
    with pytest.raises(InvalidInput, match="expected a file of statistics"):
        read_statistics(tmp_path / "none")


class ShiftedDrawer:
    """The same pictures with a share of their bytes moved by one."""

    name = "shifted"

    def __init__(self, generator: Any, share: float) -> None:
        self._generator, self._share = generator, share

    def identity(self, job: DatasetJob) -> dict[str, Any]:
        return {"share": self._share}

    def draw(self, job: DatasetJob, places: range) -> np.ndarray:
        images = np.concatenate(
            [
                job.draw(self._generator, range(i, min(i + 4, places.stop)))
                for i in range(places.start, places.stop, 4)
            ]
        )
        flat = images.reshape(len(images), -1)
        flat[:, : round(self._share * flat.shape[1])] ^= 1
        return images


def test_drift_of_known_pictures(open_fake: Any, network: Any, tmp_path: Path) -> None:
    generator = open_fake()
    drift = measure_drift(
        generator, ShiftedDrawer(open_fake(), 0.25), make_job(50), network, tmp_path / "drift"
    )
    assert drift.figures["bytes_off"].value == pytest.approx(0.25)
    assert drift.figures["psnr"].value == pytest.approx(10 * np.log10(255**2 / 0.25))
    assert drift.figures["feature_distance"].value == pytest.approx(np.sqrt(7))  # pixels 20 to 26
    assert 0 < drift.figures["relative_distance"].value < 0.05
    assert 0 <= drift.figures["fid"].value < 1
    same = measure_drift(
        generator, ShiftedDrawer(open_fake(), 0), make_job(50), network, tmp_path / "same"
    )
    assert same.figures["fid"].value == pytest.approx(0, abs=1e-7)
    assert same.figures["bytes_off"].value == 0
    told = json.loads(json.dumps(same.to_json()))
    assert told["figures"]["psnr"]["value"] is None


def test_typical_pictures_lie_near_the_data(open_fake: Any, network: Any) -> None:
    data = make_features(1, 40)
    far = np.full((1, 8), 1000, np.float32)
    drawn = np.concatenate([data.rows[:5] + 0.1, far])
    for reference in (data, measure_moments(data.rows)):
        assert rank_pictures(drawn, reference)[-1] == 5
    generator = open_fake()
    sheet = draw_sheet(generator, make_job(20), np.arange(20))
    assert sheet.shape == (6 * 2 * 2 + 4, 6 * 8, 3)
    assert sorted(set(generator.drawn)) == list(range(20))


class CurvedGenerator:
    """Pictures whose pixels are w, so that lengths are known."""

    max_batch = 8

    def __init__(self) -> None:
        self.spec = replace(SPEC, num_ws=1)
        self.classes = SimpleNamespace(count=0, names=(), make_labels=lambda *_, **__: None)
        self.bundle = SimpleNamespace(family="curved", manifest={})

    def map(self, z: np.ndarray, c: Any, **_: Any) -> np.ndarray:
        return z[:, None]

    def synthesize(self, ws: np.ndarray, **_: Any) -> np.ndarray:
        flat = np.zeros((len(ws), 6 * 6 * 3), np.float64)
        flat[:, 20:28] = ws[:, 0]  # the place of the features
        return np.asarray(flat.reshape(-1, 6, 6, 3).transpose(0, 3, 1, 2))


def test_path_lengths_of_a_linear_network(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a straight way, features move by 127.5 |z1 - z0| per unit, wherever on it."""
    monkeypatch.setattr(
        PixelNetwork,
        "extract",
        lambda self, images: images.reshape(len(images), -1)[:, 20:28],
    )
    generator: Any = CurvedGenerator()
    z = [np.random.RandomState(i).randn(8) for i in range(80)]
    lengths = np.sort([np.square(127.5 * (z[i + 1] - z[i])).sum() for i in range(0, 80, 2)])
    for end, workers in ((True, 1), (False, 3)):
        found = estimate_path_length(generator, network, make_job(40), end=end, workers=workers)
        assert found.value == pytest.approx(lengths.mean(), rel=0.2)
    on_sphere = estimate_path_length(generator, network, make_job(40), space="z")
    angles = [
        np.arccos(z[i] @ z[i + 1] / np.linalg.norm(z[i]) / np.linalg.norm(z[i + 1]))
        for i in range(0, 80, 2)
    ]
    expected = np.square(127.5 * np.array(angles)).mean()
    assert on_sphere.value == pytest.approx(expected, rel=0.2)


def test_ways_on_a_sphere_stay_on_it() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 5, 8))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    for t, expected in ((0.0, unit[0]), (1.0, unit[1])):
        assert np.allclose(slerp(a, b, np.full(5, t)), expected, atol=1e-7)
    middle = slerp(a, b, np.full(5, 0.5))
    assert np.allclose(np.linalg.norm(middle, axis=1), 1)
    assert np.allclose((middle * unit[0]).sum(1), (middle * unit[1]).sum(1), atol=1e-6)
