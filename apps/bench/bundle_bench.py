"""The benchmark of a bundle: its backends side by side, and PyTorch. It loads no torch itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylert.apps.bench import BenchResult, run_bench
from stylert.apps.bench.bench_backends import HALF_GEMM, NAMES, is_torch, list_candidates, on_gpu
from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.assumptions import NOTHING_SAID, Assumptions
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import InvalidInput
from stylert.runtime.packages import need, openvino_distribution
from stylert.runtime.proof.bundle_facts import multiply_adds, reference_error, stored_weights

__all__ = ["MAY_FAIL", "bench_bundle", "bundle_of", "parse_backends"]

# What nobody asked for by name may fail: torch.compile needs a C++ compiler.
MAY_FAIL = ("torch-compile",)

_OF_A_BUNDLE = ("onnxruntime",)
_WITH_A_CHECKPOINT = ("torch-eager", "torch-compile", "onnxruntime")


def parse_backends(text: str | None, *, with_checkpoint: bool) -> list[str]:
    """Read which backends to time.

    Args:
        text: names of `bench_backends`, with commas between; None = all that the files at hand
            allow on the CPU.
        with_checkpoint: whether there is the bundle's checkpoint, which PyTorch draws from.

    Raises:
        InvalidInput: an unknown name, or PyTorch without a checkpoint.
        MissingExtra: torch is not installed.
    """
    if not text:
        ours = _WITH_A_CHECKPOINT if with_checkpoint else _OF_A_BUNDLE
        return [*ours, "openvino"] if openvino_distribution() else list(ours)
    names = text.split(",")
    for backend in names:
        if backend not in NAMES:
            raise InvalidInput(f"backends: got {backend!r}, expected {', '.join(NAMES)}")
        if is_torch(backend):
            if not with_checkpoint:
                raise InvalidInput(
                    f"backends: got {backend!r}, which needs the checkpoint. Pass checkpoint=FILE"
                )
            need("torch", extra="export")
    return names


def bench_bundle(
    bundle: str | Path,
    backends: Sequence[str],
    *,
    checkpoint: str | None = None,
    network: str | None = None,
    assume: Assumptions = NOTHING_SAID,
    trust_engines: bool = False,
    class_idx: int | str | None = None,
    batches: Sequence[int] = (1, 4, 8),
    **timing: Any,
) -> BenchResult:
    """Time backends of a bundle in turn, each in its own process, and compare their images.

    Args:
        bundle: the directory.
        backends: names of `bench_backends`.
        checkpoint: the file that it was exported from, or 'untrained:NAME'; for PyTorch.
        network: of the checkpoint, None = the default.
        assume: what a state dict does not tell, see `read_checkpoint`.
        trust_engines: also run engines that this user did not build.
        class_idx: of all images of a conditional network, a number or a name; None = seed mod
            c_dim.
        batches: batch sizes.
        timing: other arguments of `run_bench`: threads, rounds, max_seconds, progress, ...

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
        **timing,
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
