"""From a training's state to what is published: a checkpoint in half precision, and its record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stylert.apps.evaluation import measure_frechet
from stylert.examples.train_demo.dataset import CLASSES, Pictures
from stylert.examples.train_demo.features import Reader, Reading, read
from stylert.examples.train_demo.generator import draw_classes
from stylert.examples.train_demo.quality import measure_accuracy, measure_quality
from stylert.examples.train_demo.training import Training
from stylert.export.checkpoints import Checkpoint, Source
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.backends.processor import processor_name
from stylert.runtime.bundle import hash_file

__all__ = ["measure_figures", "make_half_checkpoint", "describe_training", "thin_out"]

FORMAT = "train_demo state"
CURVE_POINTS = 100  # of the loss curves that are kept
PSI = 0.7
SAMPLE_SEED = 2_000_003
BATCH = 32


def make_half_checkpoint(training: Training, state: Path) -> Checkpoint:
    """The averaged generator, its weights rounded to float16, as a checkpoint to be written.

    Args:
        training: what to publish.
        state: the file that it was restored from.
    """
    tensors = {
        name: np.ascontiguousarray(tensor.cpu().numpy().astype(np.float16)).reshape(tensor.shape)
        for name, tensor in training.average.state_dict().items()
    }
    source = Source(state.name, hash_file(state), state.stat().st_size, FORMAT, "average")
    notes = (f"StyleRT's demo network: {training.seen} images of examples/train_demo seen",)
    return Checkpoint(training.config, tensors, source, notes, class_names=CLASSES)


def describe_training(training: Training, checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the checkpoint comes from, as JSON types."""
    return {
        "script": "examples/train_demo",
        "classes": list(CLASSES),
        "settings": asdict(training.settings),
        "changed_on_the_way": training.changes,
        "images_seen": training.seen,
        "steps": training.steps,
        "cpu_seconds": round(training.seconds),
        "hardware": {
            "processor": f"{os.cpu_count()} x {processor_name()}",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "parameters": checkpoint.num_parameters,
        "storage": "float16",
        "loss_curves": thin_out(training.history, CURVE_POINTS),
    }


def thin_out(history: Sequence[dict[str, float]], points: int) -> dict[str, list[float]]:
    """Curves by name, each of at most `points` evenly spaced entries of the history."""
    step = max(1, -(-len(history) // points))
    kept = history[::-1][::step][::-1]  # the last entry is among them
    names = list(dict.fromkeys(name for entry in kept for name in entry))
    return {name: [entry.get(name, 0.0) for entry in kept] for name in names}


def measure_figures(
    model: StyleGAN2, reader: Reader, real: Pictures, other: Pictures
) -> dict[str, Any]:
    """What the pictures of a model are worth, measured against drawn ones, as JSON types.

    Args:
        model: the generator with the published weights.
        reader: the feature extractor.
        real: pictures that neither network was trained on.
        other: as many more, to tell what a perfect generator would reach.
    """
    N = len(real.labels)
    asked = np.arange(N) % len(CLASSES)
    reference = read(reader, real.images)
    second = read(reader, other.images)
    truth = replace(reference, labels=real.labels)
    full = measure_quality(_reading(model, reader, asked, psi=1.0), asked, truth)
    truncated = measure_quality(_reading(model, reader, asked, psi=PSI), asked, truth)
    floor = measure_frechet(reference.features, second.features)
    return {
        "feature_extractor": "examples/train_demo/features.py: 64 features of a small network that "
        "was trained on the data set's classes and traits; compares with no other FID",
        "pictures": N,
        "extractor_accuracy": _rounded(measure_accuracy(reference.labels, real.labels)),
        "fid_of_more_drawn_pictures": round(floor, 3),
        "fid_psi_1": round(full.fid, 3),
        "class_accuracy_psi_1": _rounded(full.accuracy),
        "class_accuracy_psi_0.7": _rounded(truncated.accuracy),
        "diversity": "mean distance of two pictures of a class, over that of the data set",
        "diversity_psi_1": _rounded(full.diversity),
        "diversity_psi_0.7": _rounded(truncated.diversity),
    }


def _reading(model: StyleGAN2, reader: Reader, asked: NDArray[np.int64], *, psi: float) -> Reading:
    random = torch.Generator().manual_seed(SAMPLE_SEED)
    parts = []
    for start in range(0, len(asked), BATCH):
        labels = torch.from_numpy(asked[start : start + BATCH])
        z = torch.randn(len(labels), model.config.z_dim, generator=random)
        parts.append(read(reader, draw_classes(model, z, labels, psi=psi)))
    return Reading(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
