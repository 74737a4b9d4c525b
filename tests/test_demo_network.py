"""What only a trained network shows: examples/demo.safetensors, from the file to the pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stylert.examples.train_demo.dataset import CLASSES
from stylert.examples.train_demo.guidance import draw_mixed
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z

CHECKPOINT = Path(__file__).parents[1] / "examples" / "demo.safetensors"
PER_CLASS = 20
SEEDS = range(PER_CLASS * len(CLASSES))
LABELS = np.arange(len(SEEDS)) % len(CLASSES)
PAINTED = 32  # pixels, half of those of the network: a painting of as many takes four times as long


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "bundle"
    export_bundle(read_checkpoint(CHECKPOINT), out, verify_seeds=4)
    return out


@pytest.fixture(scope="module")
def generator(bundle: Path) -> Iterator[Generator]:
    with Generator.open(bundle, provider="cpu", threads=1) as opened:
        yield opened


def floats(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.astype(np.float64) / 127.5 - 1


def halved(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of two by two pixels of pictures [..., H, W, C], to compare with what is painted."""
    *rest, H, W, C = pictures.shape
    small: NDArray[np.float64] = pictures.reshape(*rest, H // 2, 2, W // 2, 2, C).mean((-4, -2))
    return small


def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Root mean square over each picture, -1 to 1: [N]."""
    gap: NDArray[np.float64] = np.sqrt(np.square(floats(a) - floats(b)).mean(axis=(-3, -2, -1)))
    return gap


def test_the_file_is_small_and_its_record_is_of_it() -> None:
    record = json.loads(CHECKPOINT.with_suffix(".json").read_text())
    assert CHECKPOINT.stat().st_size == record["file"]["bytes"] <= 6_000_000
    assert record["file"]["sha256"] == hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()
    assert record["classes"] == list(CLASSES)
    assert record["storage"] == "float16"
    quality = record["quality"]
    assert min(quality["class_accuracy_psi_0.7"].values()) >= 0.9
    assert min(quality["diversity_psi_1"].values()) >= 0.7


def test_a_picture_shows_the_class_that_was_asked_for(generator: Generator) -> None:
    """Of the pictures that the painter draws for a z, that of the right class is the nearest."""
    images = generator.generate(SEEDS, class_idx=LABELS.tolist(), truncation_psi=1)
    z = torch.from_numpy(make_z(SEEDS, generator.spec.z_dim))
    gaps, drawn = [], halved(floats(images))
    for label in range(len(CLASSES)):
        wanted = draw_mixed(torch.full((len(z),), label), z, z, size=PAINTED).numpy()
        gaps.append(np.abs(drawn - wanted.transpose(0, 2, 3, 1)).mean(axis=(1, 2, 3)))
    right = np.argmin(gaps, axis=0) == LABELS
    for label, name in enumerate(CLASSES):
        assert right[label == LABELS].mean() >= 0.9, name


def test_seeds_of_a_class_differ(generator: Generator) -> None:
    for label, name in enumerate(CLASSES):
        images = generator.generate(range(8), class_idx=label, truncation_psi=0.7)
        gaps = distance(images[:, None], images[None])[~np.eye(8, dtype=bool)]
        assert gaps.min() > 0.1, name


def test_half_precision_holds_on_real_activations(bundle: Path, generator: Generator) -> None:
    rows = json.loads((bundle / "manifest.json").read_text())["parity"]["rows"]
    assert any(row["precision"] == "fp16" and row["passed"] for row in rows)
    with Generator.open(bundle, provider="cpu", precision="fp16", threads=1) as half:
        images = [
            one.generate(range(12), class_idx=LABELS[:12].tolist(), output="img")
            for one in (generator, half)
        ]
    error = np.square(images[0].astype(np.float64) - images[1]).mean(axis=(1, 2, 3))
    assert (10 * np.log10(4 / error)).min() >= 55
    assert error.max() > 0  # it was another graph


def test_truncation_moves_towards_the_mean(generator: Generator) -> None:
    labels = LABELS[:24].tolist()
    drawn = {
        psi: generator.generate(range(24), class_idx=labels, truncation_psi=psi)
        for psi in (0, 0.25, 0.5, 0.75, 1)
    }
    (mean,) = generator.generate([0], class_idx=0, truncation_psi=0)
    away = [distance(images, mean[None]).mean() for images in drawn.values()]
    assert away[0] < 0.01
    assert (np.diff(away) > 0.01).all(), away


def test_mixing_coarse_layers_gives_the_shape_of_one_and_the_colours_of_the_other(
    generator: Generator,
) -> None:
    """Colours are the row's. Shapes differ little: a third must be told from five others."""
    rows, columns = range(20, 26), range(6, 12)
    z = torch.from_numpy(make_z([*rows, *columns], generator.spec.z_dim))
    shapes = []
    for label, name in enumerate(CLASSES):
        sheet = floats(generator.mix(rows, columns, layers="coarse", class_idx=label))
        tones = floats(generator.generate(rows, class_idx=label)).mean(axis=(1, 2))  # [R, C]
        gaps = np.abs(sheet.mean(axis=(2, 3))[:, :, None] - tones).mean(axis=3)
        assert (gaps.argmin(axis=2) == np.arange(6)[:, None]).mean() >= 0.9, name
        for row, pictures in zip(z[:6], halved(sheet), strict=True):
            wanted = draw_mixed(torch.full((6,), label), z[6:], row.expand(6, -1), size=PAINTED)
            painted = wanted.numpy().transpose(0, 2, 3, 1)
            nearest = np.abs(pictures[:, None] - painted).mean(axis=(2, 3, 4)).argmin(axis=1)
            shapes.append(nearest == np.arange(6))
    assert np.mean(shapes) >= 1 / 3  # one in six by chance


def test_sefa_directions_change_the_picture_smoothly(generator: Generator) -> None:
    ws = generator.styles([5], class_idx=2, truncation_psi=0.7)
    steps = np.linspace(-2, 2, 17)
    for name in ("sefa_coarse_0", "sefa_middle_0"):
        strip = generator.synthesize(generator.edit(ws, name, steps))
        whole = distance(strip[:1], strip[-1:])[0]
        parts = distance(strip[:-1], strip[1:])
        assert whole > 0.05, name
        assert parts.max() < 0.35 * whole, name  # no jump


def test_a_walk_has_no_jumps(generator: Generator) -> None:
    frames = np.stack(list(generator.interpolate([1, 2], frames=24, class_idx=2)))
    whole = distance(frames[:1], frames[-1:])[0]
    assert distance(frames[:-1], frames[1:]).max() < 0.3 * whole
