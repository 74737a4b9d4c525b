"""The benchmark of a bundle's encoder: its backends side by side, and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylert.apps.bench import BenchResult, Candidate, run_bench
from stylert.apps.bench.bundle_bench import HALF_GEMM, choose_backends, is_torch, on_gpu
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.control.encoder_facts import read_encoder_facts
from stylert.runtime.proof.bundle_facts import reading_manifest
from stylert.runtime.proof.parity import CODES, Tolerance

__all__ = ["ENCODER_NAMES", "bench_encoder", "parse_encoder_backends"]

_OURS = "stylert.apps.bench.encoder_candidates:open_encoder"
_EAGER = "stylert.apps.bench.encoder_baselines:open_eager_encoder"
_COMPILED = "stylert.apps.bench.encoder_baselines:open_compiled_encoder"

_FACTORIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "onnxruntime": (_OURS, {"provider": "cpu"}),
    "onnxruntime-cuda": (_OURS, {"provider": "cuda", "precision": "fp32"}),
    "onnxruntime-fp16": (_OURS, {"provider": "cuda", "precision": "fp16"}),
    "openvino": (_OURS, {"backend": "openvino"}),
    "tensorrt": (_OURS, {"backend": "tensorrt", "provider": "auto"}),
    "torch-eager": (_EAGER, {}),
    "torch-eager-cuda": (_EAGER, {"device": "cuda"}),
    "torch-compile": (_COMPILED, {}),
    "torch-compile-cuda": (_COMPILED, {"device": "cuda"}),
}
ENCODER_NAMES = tuple(_FACTORIES)


def parse_encoder_backends(text: str | None, *, with_file: bool) -> list[str]:
    """Read which backends to time.

    Args:
        text: of `ENCODER_NAMES`, with commas between; None = all that the files at hand allow on
            the CPU, but torch.compile.
        with_file: whether there is the encoder's file, which PyTorch reads.

    Raises:
        InvalidInput: an unknown name, or PyTorch without a file.
        MissingExtra: torch is not installed.
    """
    ours = ["torch-eager", "onnxruntime"] if with_file else ["onnxruntime"]
    return choose_backends(text, ENCODER_NAMES, ours, None if with_file else "the encoder's file")


def bench_encoder(
    bundle: str | Path,
    backends: Sequence[str],
    *,
    file: str | None = None,
    trust_engines: bool = False,
    batches: Sequence[int] = (1, 8),
    threads: int | None = None,
    rounds: int = 10,
    max_seconds: float = 120.0,
    progress: Callable[[str, float], None] = lambda message, share: None,
) -> BenchResult:
    """Time the encoder of a bundle on backends in turn, one pass of it, and compare its codes.

    Codes in float32 have to be within 1e-4 of half their range. Half precision is not judged here:
    what is drawn of its codes was, when the encoder was added.

    Args:
        bundle: the directory.
        backends: of `ENCODER_NAMES`.
        file: what the encoder was made of; for PyTorch.
        trust_engines: also run engines that this user did not build.
        batches: pictures at a time.
        threads: CPU threads, None = all that are usable.
        rounds: turns of each backend.
        max_seconds: for the turns of a batch size.
        progress: called with what comes next, and the share done, 0 to 1.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        InvalidInput: it has no encoder; see also `run_bench`.
        EngineError: nothing could be timed.
    """
    from stylert.export.encoders.config import EncoderConfig
    from stylert.export.encoders.work import count_multiply_adds

    opened = Bundle.open(bundle)
    facts = read_encoder_facts(opened)
    with reading_manifest(bundle):
        config = dict(opened.manifest[ENCODER]["config"])
        config["widths"] = tuple(config["widths"])
        work = count_multiply_adds(EncoderConfig(**config))
    of_bundle = {"bundle": bundle, "max_batch": max(batches), "trust_engines": trust_engines}
    of_file = {"bundle": bundle, "file": file}
    return run_bench(
        [
            Candidate(name, factory, {**(of_file if is_torch(name) else of_bundle), **own})
            for name, (factory, own) in ((name, _FACTORIES[name]) for name in backends)
        ],
        batches=batches,
        macs_per_image=work,
        tolerance=Tolerance(max_abs=CODES),
        device_gemm=HALF_GEMM if any(map(on_gpu, backends)) else None,
        subject=f"encoder of {facts.title}, {facts.height}x{facts.width}",
        threads=threads,
        rounds=rounds,
        max_seconds=max_seconds,
        progress=progress,
    )
