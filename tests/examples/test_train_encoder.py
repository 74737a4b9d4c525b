"""The training of an encoder for any generator, and the one that ships for the demo's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stylert.apps.demo import SOURCE
from stylert.cli import app
from stylert.examples.train_encoder.samples import draw_samples
from stylert.examples.train_encoder.training import Settings, choose_config, train
from stylert.export.checkpoints import Checkpoint
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.runtime.generator import Generator

ENCODER = Path(__file__).parents[2] / "examples" / "demo_encoder.safetensors"
SEEDS = range(1000, 1064)  # below 2^31: no training sees them


def measure_psnr(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each picture [N, H, W, C] uint8, in dB."""
    squares = np.square(images.astype(np.float64) - others).mean(axis=(1, 2, 3))
    psnr: np.ndarray = 10 * np.log10(255**2 / np.maximum(squares, 1e-9))
    return psnr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bundle with its encoder."""
    bundle = shutil.copytree(SOURCE, tmp_path_factory.mktemp("demo") / "bundle")
    done = CliRunner().invoke(app, ["encoder", str(bundle), str(ENCODER), "--force"])
    assert done.exit_code == 0, done.output
    return bundle


@pytest.mark.parametrize(("psi", "median"), [(1.0, 20), (0.7, 23)])
def test_the_demos_encoder_finds_its_pictures(demo: Path, psi: float, median: float) -> None:
    assert ENCODER.stat().st_size < 2_000_000
    assert (demo / "encoder.onnx").stat().st_size < 2_000_000  # stored as halves
    with Generator.open(demo, threads=1) as generator:
        classes = [seed % 6 for seed in SEEDS]
        images = generator.generate(SEEDS, class_idx=classes, truncation_psi=psi)
        found = generator.synthesize(generator.invert(images))
    psnr = measure_psnr(images, found)
    assert np.median(psnr) >= median
    assert psnr.min() >= 12


def test_training(make_checkpoint: object, tmp_path: Path) -> None:
    checkpoint: Checkpoint = make_checkpoint(channels=(12, 10, 8))  # type: ignore[operator]
    config = choose_config(checkpoint)
    assert (config.height, config.width, config.num_ws) == (16, 16, checkpoint.config.num_ws)
    size = (config.height, config.width)
    samples = draw_samples(checkpoint, 300, size, seed=0, threads=1, progress=lambda done: None)
    assert samples.photos.shape == (300, 16, 16, 3)
    told: list[str] = []
    settings = Settings(steps=60, batch=32, fine_steps=4, fine_batch=4)
    encoder = train(
        checkpoint, samples, settings, progress=lambda stage, done, total: told.append(stage)
    )
    losses = [float(stage.rpartition(" ")[2]) for stage in told if stage.startswith("learning w")]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert told[-1].startswith("learning pictures")
    write_encoder(encoder, tmp_path / "encoder.safetensors", trained="300 samples")
    from stylert.export.bundle_writer import export_bundle

    export_bundle(checkpoint, tmp_path / "bundle", verify_seeds=0, half="none")
    add_encoder(tmp_path / "bundle", read_encoder(tmp_path / "encoder.safetensors"))
    with Generator.open(tmp_path / "bundle", threads=1) as generator:
        ws = generator.invert(samples.photos[:8])
        spread = np.square(samples.w - generator.w_avg).mean()
    assert np.square(ws[:, 0] - samples.w[:8]).mean() < spread  # better than the mean
