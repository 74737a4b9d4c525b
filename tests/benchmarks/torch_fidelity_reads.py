"""torch-fidelity's own command line reads a one-file export: FID, KID and precision of it.

    python tests/benchmarks/torch_fidelity_reads.py BUNDLE OUT.json [VENV]

The environment is made for it, and thrown away or left at VENV. No network is fetched: Inception
gets random weights in the published layout, by --feature-extractor-weights-path. So the figures are
none of a paper; but ours, in the same features of the same seeds and pictures, have to be the same.

torchvision's file of the package registry is for CUDA: without it, two of its operators are
declared before torch-fidelity imports it. Nothing else of it is used here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("torch==2.13.0", "torchvision==0.28.0", "numpy==2.4.6", "scipy==1.17.1")
PACKAGES += ("pillow==13.0.0", "torch-fidelity==0.4.0", "onnx==1.23.2", "onnx-ir==1.1.0")
PACKAGES += ("onnxruntime", "tqdm", "typing-extensions")
ROOT = Path(__file__).parents[2]
COUNT = 40
DECLARE = """
import sys, torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torch_fidelity.fidelity import main
sys.exit(main())
"""


def main() -> None:
    """Make the environment, run both, and write what they said."""
    bundle, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(name) / "venv"
        python = folder / "bin" / "python"
        if not python.exists():
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (Path(name) / "stylert").symlink_to(ROOT)
        environment = {**os.environ, "PYTHONPATH": name}

        def run(*words: object) -> Any:
            command = [str(python), *map(str, words)]
            done = subprocess.run(command, env=environment, cwd=name, stdout=subprocess.PIPE)
            if done.returncode:
                raise SystemExit(f"{command} failed")
            return json.loads(done.stdout[done.stdout.index(b"{") :])

        facts = run(Path(__file__).resolve(), "--prepare", bundle, name)
        theirs = run(
            *("-c", DECLARE, "--input1", "one.onnx", "--input2", "data", "--cpu", "--json"),
            *("--fid", "--kid", "--prc", "--batch-size", 8, "--no-cache", "--no-samples-shuffle"),
            *("--input1-model-z-size", facts["z_dim"], "--input1-model-num-samples", COUNT),
            *("--feature-extractor", "inception-v3-compat"),
            *("--feature-layer-prc", "2048", "--kid-subset-size", COUNT, "--silent"),
            *("--feature-extractor-weights-path", "weights.pth"),
        )
        ours = run(Path(__file__).resolve(), "--measure", name)
    found = {"pictures": COUNT, "torch-fidelity": theirs, "stylert": ours}
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def prepare(bundle: Path, folder: Path) -> None:
    """The one-file export, pictures to compare with, and weights of Inception."""
    import torch
    from evaluation_figures import make_inception_state

    import stylert
    from stylert.export.one_file import write_one_file
    from stylert.runtime.images import save_image

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.manual_seed(0)
    write_one_file(bundle, folder / "one.onnx")
    torch.save(make_inception_state(), folder / "weights.pth")
    (folder / "data").mkdir()
    with stylert.open(bundle) as generator:
        for seed in range(0, COUNT, 8):
            for i, image in enumerate(generator.generate(range(seed, seed + 8))):
                save_image(image, folder / "data" / f"{seed + i:04d}.png")
        print(json.dumps({"z_dim": generator.spec.z_dim}))


def measure(folder: Path) -> None:
    """The same by our code: z as torch-fidelity draws it, and the same file in ONNX Runtime."""
    import onnxruntime
    from PIL import Image

    from stylert.apps.evaluation import (
        estimate_kernel_distance,
        estimate_precision_recall,
        measure_frechet,
        open_network,
    )
    from stylert.export.feature_networks import PublishedWeights, make_feature_network, making

    weights = folder / "weights.pth"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    making.PUBLISHED["inception"] = (PublishedWeights((weights.name,), digest, "none"),)
    network = open_network(make_feature_network("inception", weights, folder / "inception.onnx"))
    session = onnxruntime.InferenceSession(folder / "one.onnx", providers=["CPUExecutionProvider"])
    z_dim = session.get_inputs()[0].shape[1]
    random = np.random.RandomState(2020)
    drawn = []
    for _ in range(0, COUNT, 8):
        z = random.randn(8, z_dim).astype(np.float32)
        drawn.append(session.run(None, {"z": z})[0].transpose(0, 2, 3, 1))
    x = network.extract(np.concatenate(drawn))
    files = sorted((folder / "data").iterdir())
    y = network.extract(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    balls = estimate_precision_recall(x, y)
    told = {"fid": measure_frechet(x, y), "kid": estimate_kernel_distance(x, y).value}
    print(json.dumps({**told, **{name: ball.value for name, ball in balls.items()}}))


if __name__ == "__main__":
    if sys.argv[1] == "--prepare":
        prepare(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "--measure":
        measure(Path(sys.argv[2]))
    else:
        main()
