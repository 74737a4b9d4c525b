"""What `stylert bench --backends` can time, by name. Without torch: only a worker imports it.

'-cuda' is float32 on a GPU and '-fp16' half precision there; the plain names are the CPU's, but
'tensorrt', which takes the best engine of the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stylert.apps.bench import Candidate
from stylert.export.checkpoints.assumptions import NOTHING_SAID, Assumptions

__all__ = ["HALF_GEMM", "NAMES", "list_candidates", "is_torch", "on_gpu"]

_GENERATOR = "stylert.apps.bench.candidates:open_generator"
_EAGER = "stylert.apps.bench.torch_baselines:open_eager"
_COMPILED = "stylert.apps.bench.torch_baselines:open_compiled"

_FACTORIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "onnxruntime": (_GENERATOR, {"provider": "cpu"}),
    "onnxruntime-cuda": (_GENERATOR, {"provider": "cuda", "precision": "fp32"}),
    "onnxruntime-fp16": (_GENERATOR, {"provider": "cuda", "precision": "fp16"}),
    "openvino": (_GENERATOR, {"backend": "openvino"}),
    "tensorrt": (_GENERATOR, {"backend": "tensorrt", "provider": "auto"}),
    "torch-eager": (_EAGER, {}),
    "torch-eager-cuda": (_EAGER, {"device": "cuda"}),
    "torch-eager-fp16": (_EAGER, {"device": "cuda", "precision": "fp16"}),
    "torch-compile": (_COMPILED, {}),
    "torch-compile-cuda": (_COMPILED, {"device": "cuda"}),
    "torch-compile-fp16": (_COMPILED, {"device": "cuda", "precision": "fp16"}),
}
NAMES = tuple(_FACTORIES)

# The roofline of all that runs on a GPU.
HALF_GEMM = Candidate("gemm-fp16", "stylert.apps.bench.torch_baselines:open_half_gemm")


def is_torch(name: str) -> bool:
    """Whether a candidate is PyTorch, which draws from the checkpoint."""
    return name.startswith("torch-")


def on_gpu(name: str) -> bool:
    """Whether a candidate runs on a GPU."""
    return name not in ("onnxruntime", "openvino", "torch-eager", "torch-compile")


def list_candidates(
    bundle: str | Path,
    *,
    checkpoint: str | None,
    network: str | None,
    assume: Assumptions = NOTHING_SAID,
    max_batch: int,
    weights: str = "fp32",
    trust_engines: bool = False,
    class_idx: int | None = None,
) -> dict[str, Candidate]:
    """All candidates by name; those of PyTorch only with a checkpoint.

    The arguments are those of `bench_bundle`; besides, the largest batch that will be timed, and
    what the bundle stores its weights as.
    """
    chosen = {} if class_idx is None else {"class_idx": class_idx}
    of_bundle = {"bundle": bundle, "max_batch": max_batch, "trust_engines": trust_engines}
    of_checkpoint = {"checkpoint": checkpoint, "network": network, "assume": asdict(assume)}
    of_checkpoint["weights"] = weights
    return {
        name: Candidate(
            name, factory, {**(of_checkpoint if is_torch(name) else of_bundle), **own, **chosen}
        )
        for name, (factory, own) in _FACTORIES.items()
        if checkpoint is not None or not is_torch(name)
    }
