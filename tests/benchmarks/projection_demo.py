"""Projection and inpainting of the demo's own pictures, of seeds that nothing was tuned on.

    python tests/benchmarks/projection_demo.py docs/results/projection-demo.json

Projection: pictures of psi 1, in w+, from the best of 600 samples or from the encoder. Inpainting:
of psi 0.7, the middle quarter hidden. 'Mean filling' is the mean colour of what is seen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.apps.demo import write_demo
from stylert.apps.projection import ProjectionSettings, project
from stylert.apps.projection.inpainting import SETTINGS, inpaint
from stylert.export.adjoint.bundle_gradient import add_gradient
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.reader import read_encoder

PROJECTED = range(500_000, 500_032)
FILLED = range(600_000, 600_032)
AT_ONCE = 8
ENCODER = Path(__file__).parents[2] / "examples" / "demo_encoder.safetensors"


def measure_psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Of bytes, where a mask [H, W] is true."""
    difference = one[where].astype(np.float64) - other[where]
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)))


# What is compared: whether it starts from the encoder, and the settings.
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "encoder, 50 steps of L-BFGS": (True, {"steps": 50}),
    "best of 600 samples, 100 steps of L-BFGS": (False, {"steps": 100}),
    "encoder, 50 steps of Adam": (True, {"steps": 50, "optimizer": "adam"}),
    "best of 600 samples, 300 steps of Adam": (False, {"steps": 300, "optimizer": "adam"}),
    "best of 600 samples, 300 steps of L-BFGS": (False, {"steps": 300}),
}


def measure_projection(generator: Any, encoder: bool, options: dict[str, Any]) -> dict[str, Any]:
    """The PSNR of each picture."""
    found: list[float] = []
    seeds, began = PROJECTED, time.process_time()
    settings = ProjectionSettings(**options)
    for first in range(0, len(seeds), AT_ONCE):
        part = list(seeds[first : first + AT_ONCE])
        images = generator.generate(part, class_idx=[s % 6 for s in part], truncation_psi=1)
        start = generator.invert(list(images)) if encoder else None
        *_, step = project(generator, images, settings=settings, start=start)
        found += step.best_psnr.tolist()
        print(first, np.round(step.best_psnr, 1), flush=True)
    return {
        "options": options,
        "seeds": [seeds[0], seeds[-1]],
        "psnr": [round(p, 2) for p in found],
        "median": round(float(np.median(found)), 2),
        "share of 35 dB and more": float(np.mean(np.array(found) >= 35)),
        "least": round(min(found), 2),
        "processor seconds a picture": round((time.process_time() - began) / len(seeds), 2),
    }


def measure_inpainting(generator: Any) -> dict[str, Any]:
    """The PSNR outside, inside, and that of mean filling inside."""
    mask = np.ones((1, 1, 64, 64), np.float32)
    mask[..., 16:48, 16:48] = 0
    seen = mask[0, 0] > 0
    rows = []
    for seed in FILLED:
        (image,) = generator.generate([seed], class_idx=[seed % 6], truncation_psi=0.7)
        found = inpaint(generator, image, mask)
        (drawn,) = generator.synthesize(found.ws)
        mean = np.broadcast_to(image[seen].mean(0), image.shape)
        rows.append(
            {
                "outside": measure_psnr(drawn, image, seen),
                "inside": measure_psnr(found.images[0], image, ~seen),
                "inside, mean filling": measure_psnr(mean, image, ~seen),
            }
        )
        print(seed, {k: round(v, 1) for k, v in rows[-1].items()}, flush=True)
    medians = {name: round(float(np.median([row[name] for row in rows])), 2) for name in rows[0]}
    gains = [row["inside"] - row["inside, mean filling"] for row in rows]
    return {
        "seeds": [FILLED[0], FILLED[-1]],
        "settings": vars(SETTINGS),
        "medians": medians,
        "median gain inside": round(float(np.median(gains)), 2),
        "pictures": [{name: round(value, 2) for name, value in row.items()} for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "demo"
        write_demo(bundle)
        add_gradient(bundle, force=True)
        add_encoder(bundle, read_encoder(ENCODER), force=True)
        with stylert.open(bundle, backend="onnxruntime", provider="cpu", threads=1) as generator:
            found = {
                "machine": describe_machine(),
                "projection": {
                    name: measure_projection(generator, encoder, options)
                    for name, (encoder, options) in WAYS.items()
                },
                "inpainting": measure_inpainting(generator),
            }
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
