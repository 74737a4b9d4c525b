"""The gradient of a reference by torch's autograd, and that of the graph by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F

from stylert.export.adjoint.gradient import write_gradient
from stylert.export.checkpoints import Checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import Psi
from stylert.runtime.bundle import GraphSpec
from stylert.runtime.transforms import TRANSFORM

__all__ = ["Gradients", "Trial", "measure_distance"]

Arrays = Mapping[str, np.ndarray]
GIVEN = ("target", "mask", "scales", "img_grad")


@dataclass(frozen=True)
class Gradients:
    """What came out: the loss, and the gradients by input."""

    loss: np.ndarray
    img: np.ndarray
    of: Arrays


class Trial:
    """A network with inputs of seeds, whose gradients are taken in several ways.

    Args:
        checkpoint: the network.
        folder: for its graphs.
        noise: 'const', 'none', or 'own': for each image another.
        count: of images.
        clamp_all: pictures of ws that are so large that clamps hold.
    """

    def __init__(
        self, checkpoint: Checkpoint, folder: Path, *, noise: str = "const", count: int = 2
    ) -> None:
        self.reference = Reference(checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        synthesis = folder / "synthesis.onnx"
        build_synthesis_graph(checkpoint).save(synthesis)
        self.file = folder / "gradient.onnx"
        self.graph: GraphSpec = write_gradient(synthesis, self.file)
        self.feeds = self._make_feeds(noise, count)

    def run_graph(self) -> Gradients:
        """By ONNX Runtime, in float32."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(self.file), options, providers=["CPUExecutionProvider"]
        )
        names = [t.name for t in self.graph.outputs]
        found = dict(zip(names, session.run(names, self.feeds), strict=True))
        gradients = {
            name: self._sum_shared(name, found[f"grad_{name}"]) for name in self._differentiated()
        }
        return Gradients(found["loss"], found["img"], gradients)

    def run_torch(self, dtype: torch.dtype) -> Gradients:
        """By autograd."""
        self.reference.model.to(dtype)
        feeds = {name: torch.from_numpy(a.copy()).to(dtype) for name, a in self.feeds.items()}
        leaves = {name: feeds[name].requires_grad_(True) for name in self._differentiated()}
        layers = self.reference._layers
        options: dict[str, Any] = {}
        if noise := {layers[name]: leaf for name, leaf in leaves.items() if name in layers}:
            options["noise"] = noise
        if TRANSFORM in feeds:
            options["transform"] = feeds[TRANSFORM]
        img = self.reference.model.synthesis(leaves["ws"], **options)
        loss, x = torch.zeros(len(img), dtype=dtype), (img - feeds["target"]) * feeds["mask"]
        for weights in feeds["scales"].T:
            loss, x = loss + weights * (x * x).mean(dim=(1, 2, 3)), F.avg_pool2d(x, 2)
        (loss.sum() + (img * feeds["img_grad"]).sum()).backward()
        found = {
            name: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
            for name, leaf in leaves.items()
        }
        return Gradients(loss.detach().numpy(), img.detach().numpy(), found)

    def _differentiated(self) -> list[str]:
        return [t.name for t in self.graph.inputs if t.name not in (*GIVEN, TRANSFORM)]

    def _sum_shared(self, name: str, gradient: np.ndarray) -> np.ndarray:
        """The graph tells the images apart, autograd does not, where they share their noise."""
        return gradient.sum(0, keepdims=True) if len(self.feeds[name]) == 1 else gradient

    def _make_feeds(self, noise: str, count: int) -> Arrays:
        random = np.random.RandomState(3)
        feeds: dict[str, np.ndarray] = {}
        for t in self.graph.inputs:
            shape = (count, *map(int, t.shape[1:]))
            if t.name == "ws":  # each layer that of another seed
                layers = range(shape[1])
                seeds = [[layer + 100 * i for i in range(count)] for layer in layers]
                styles = [self.reference.map_seeds(row, Psi(1.0))[:, 0] for row in seeds]
                feeds[t.name] = np.stack(styles, axis=1).astype(np.float32)
            elif t.name == TRANSFORM:
                turn = np.array([[0.8, -0.6, 0.1], [0.6, 0.8, -0.05], [0, 0, 1]])
                feeds[t.name] = np.tile(turn.astype(np.float32), (count, 1, 1))
            elif t.name == "mask":
                feeds[t.name] = (random.random_sample(shape) > 0.2).astype(np.float32)
            elif t.name in GIVEN:
                size = 1e-4 if t.name == "img_grad" else 1.0
                feeds[t.name] = (size * random.uniform(-1, 1, shape)).astype(np.float32)
            elif noise == "own":
                feeds[t.name] = random.randn(*shape).astype(np.float32)
            else:
                const = self.reference._noise.const()[t.name]
                feeds[t.name] = const if noise == "const" else np.zeros_like(const)
        return feeds


def measure_distance(found: np.ndarray, exact: np.ndarray) -> float:
    """||found - exact|| / ||exact||."""
    norm = np.linalg.norm(exact)
    return float(np.linalg.norm(found - exact) / norm) if norm else float(np.abs(found).max())
