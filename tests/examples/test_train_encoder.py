"""The training of an encoder for any generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylert.examples.train_encoder.samples import draw_samples
from stylert.examples.train_encoder.training import Settings, choose_config, train
from stylert.export.checkpoints import Checkpoint
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.reader import read_encoder
from stylert.runtime.generator import Generator


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
