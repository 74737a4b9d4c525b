"""The benchmark of a bundle: its backends side by side, and PyTorch. It loads no torch itself.

Of the names, '-cuda' is float32 on a GPU and '-fp16' half precision there; the plain ones are the
CPU's, but 'tensorrt', which takes the best engine of the bundle. 'int8' is OpenVINO in 8 bits.
'-webgpu' is float32 on any maker's GPU, and '-software' its stand-in on the CPU: how fast
that is says nothing of a GPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylert.apps.bench import BenchResult, Candidate, run_bench
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import InvalidInput
from stylert.runtime.packages import need, openvino_distribution
from stylert.runtime.proof.bundle_facts import multiply_adds, reference_error, stored_weights

if TYPE_CHECKING:
    from stylert.export.checkpoints import Checkpoint
    from stylert.export.checkpoints.assumptions import Assumptions

__all__ = [
    *("HALF_GEMM", "MAY_FAIL", "NAMES", "bench_bundle", "bundle_of", "choose_backends"),
    *("is_torch", "list_candidates", "on_gpu", "parse_backends"),
]

# What nobody asked for by name may fail: torch.compile needs a C++ compiler.
MAY_FAIL = ("torch-compile",)

_GENERATOR = "stylert.apps.bench.candidates:open_generator"
_EAGER = "stylert.apps.bench.torch_baselines:open_eager"
_COMPILED = "stylert.apps.bench.torch_baselines:open_compiled"

_FACTORIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "onnxruntime": (_GENERATOR, {"provider": "cpu"}),
    "onnxruntime-cuda": (_GENERATOR, {"provider": "cuda", "precision": "fp32"}),
    "onnxruntime-fp16": (_GENERATOR, {"provider": "cuda", "precision": "fp16"}),
    "onnxruntime-webgpu": (_GENERATOR, {"provider": "webgpu"}),
    "onnxruntime-webgpu-software": (_GENERATOR, {"provider": "webgpu", "device": "software"}),
    "openvino": (_GENERATOR, {"backend": "openvino"}),
    "int8": (_GENERATOR, {"backend": "openvino", "precision": "int8"}),
    "tensorrt": (_GENERATOR, {"backend": "tensorrt", "provider": "auto"}),
    "tensorrt-int8": (
        _GENERATOR,
        {"backend": "tensorrt", "provider": "auto", "precision": "int8"},
    ),
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

_OF_A_BUNDLE = ("onnxruntime",)
_WITH_A_CHECKPOINT = ("torch-eager", "torch-compile", "onnxruntime")


def is_torch(name: str) -> bool:
    """Whether a candidate is PyTorch, which draws from the checkpoint."""
    return name.startswith("torch-")


def on_gpu(name: str) -> bool:
    """Whether a candidate runs on an NVIDIA GPU, whose clock and roofline are taken."""
    on_cpu = ("onnxruntime", "openvino", "int8", "torch-eager", "torch-compile")
    return name not in on_cpu and "-webgpu" not in name


def list_candidates(
    bundle: str | Path,
    *,
    checkpoint: str | None,
    network: str | None,
    assume: Assumptions | None = None,
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
    said = {} if assume is None else asdict(assume)
    of_checkpoint = {"checkpoint": checkpoint, "network": network, "assume": said}
    of_checkpoint["weights"] = weights
    return {
        name: Candidate(
            name, factory, {**(of_checkpoint if is_torch(name) else of_bundle), **own, **chosen}
        )
        for name, (factory, own) in _FACTORIES.items()
        if checkpoint is not None or not is_torch(name)
    }


def parse_backends(text: str | None, *, with_checkpoint: bool) -> list[str]:
    """Read which backends to time.

    Args:
        text: of `NAMES`, with commas between; None = all that the files at hand allow on the CPU.
        with_checkpoint: whether there is the bundle's checkpoint, which PyTorch draws from.

    Raises:
        InvalidInput: an unknown name, or PyTorch without a checkpoint.
        MissingExtra: torch is not installed.
    """
    ours = _WITH_A_CHECKPOINT if with_checkpoint else _OF_A_BUNDLE
    return choose_backends(text, NAMES, ours, None if with_checkpoint else "the checkpoint")


def choose_backends(
    text: str | None, names: Sequence[str], ours: Sequence[str], missing: str | None
) -> list[str]:
    """Read which backends to time.

    Args:
        text: of `names`, with commas between; None = ours, and OpenVINO where it is installed.
        names: all that there are.
        ours: what is timed in any case.
        missing: what PyTorch would need and has not, None = it has all.

    Raises:
        InvalidInput: an unknown name, or PyTorch without what it needs.
        MissingExtra: torch is not installed.
    """
    if not text:
        return [*ours, "openvino"] if openvino_distribution() else list(ours)
    chosen = text.split(",")
    for name in chosen:
        if name not in names:
            raise InvalidInput(f"backends: got {name!r}, expected {', '.join(names)}")
        if is_torch(name):
            if missing:
                raise InvalidInput(
                    f"backends: got {name!r}, which needs {missing}. Pass checkpoint=FILE"
                )
            need("torch", extra="export")
    return chosen


def bench_bundle(
    bundle: str | Path,
    backends: Sequence[str],
    *,
    checkpoint: str | None = None,
    network: str | None = None,
    assume: Assumptions | None = None,
    trust_engines: bool = False,
    class_idx: int | str | None = None,
    batches: Sequence[int] = (1, 4, 8),
    threads: int | None = None,
    rounds: int = 10,
    max_seconds: float = 120.0,
    progress: Callable[[str, float], None] = lambda message, share: None,
) -> BenchResult:
    """Time backends of a bundle in turn, each in its own process, and compare their images.

    Args:
        bundle: the directory.
        backends: of `NAMES`.
        checkpoint: the file that it was exported from, or 'untrained:NAME'; for PyTorch.
        network: of the checkpoint, None = the default.
        assume: what a state dict does not tell, see `read_checkpoint`; None = nothing is said.
        trust_engines: also run engines that this user did not build.
        class_idx: of all images of a conditional network, a number or a name; None = seed mod
            c_dim.
        batches: batch sizes.
        threads: CPU threads, None = all that are usable.
        rounds: turns of each backend.
        max_seconds: for the turns of a batch size.
        progress: called with what comes next, and the share done, 0 to 1.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        InvalidInput: see `run_bench`; or a class that is not there.
        EngineError: nothing could be timed.
    """
    opened = Bundle.open(bundle)
    known = list_candidates(
        bundle,
        checkpoint=checkpoint,
        network=network,
        assume=assume,
        max_batch=max(batches),
        weights=stored_weights(opened),
        trust_engines=trust_engines,
        class_idx=_find_class(opened, class_idx),
    )
    return run_bench(
        [known[name] for name in backends],
        batches=batches,
        macs_per_image=multiply_adds(opened),
        reference_error=reference_error(opened),
        device_gemm=HALF_GEMM if any(map(on_gpu, backends)) else None,
        subject=f"{opened.family} {opened.spec.img_height}x{opened.spec.img_width}",
        threads=threads,
        rounds=rounds,
        max_seconds=max_seconds,
        progress=progress,
    )


def _find_class(bundle: Bundle, class_idx: int | str | None) -> int | None:
    """The number of a class, refused where it is not there."""
    if class_idx is None:
        return None
    bundle.classes.make_labels(class_idx, None, batch=1)
    return bundle.classes.find(class_idx)[0]


@contextmanager
def bundle_of(
    checkpoint: Checkpoint,
    bundle: str | Path | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Path]:
    """The bundle of a checkpoint: one that there is, or one that is gone afterwards.

    Args:
        checkpoint: what PyTorch draws from.
        bundle: its bundle's directory; None = make one, without a comparison.
        say: called with a line on what a user should know, see `check_provenance`.

    Raises:
        BundleError: it is the bundle of another architecture.
    """
    if bundle is not None:
        from stylert.export.verification import check_provenance  # loads onnx

        for line in check_provenance(Bundle.open(bundle, check_files=False), checkpoint):
            say(line)
        yield Path(bundle)
        return
    from stylert.export.bundle_writer import export_bundle  # loads torch

    with tempfile.TemporaryDirectory(prefix="stylert-bench-") as folder:
        export_bundle(checkpoint, Path(folder) / "bundle", verify_seeds=0)
        yield Path(folder) / "bundle"
