"""What `verify` checks: valid graphs, where the bundle came from, and the pictures again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stylert.export.checkpoints import Checkpoint
from stylert.export.graph_check import find_fault
from stylert.export.weight_rounding import round_weights
from stylert.runtime.bundle import HALF, MANIFEST, Bundle
from stylert.runtime.errors import BundleError, InvalidInput
from stylert.runtime.proof.bundle_facts import (
    reading_manifest,
    stored_weights,
    tell_half,
    weights_floor,
)
from stylert.runtime.proof.parity import WEIGHT_FLOORS

if TYPE_CHECKING:
    from stylert.export.layers import LayerReport
    from stylert.export.parity import ParityReport

__all__ = ["check_graphs", "check_provenance", "compare_bundle_layers", "verify_bundle"]


def verify_bundle(
    bundle: str | Path,
    checkpoint: Checkpoint,
    *,
    seeds: Sequence[int] | None = None,
    allow_chaotic: bool = False,
    backend: str = "onnxruntime",
    provider: str = "cpu",
    device: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> ParityReport:
    """Compare what a backend draws of a bundle with its checkpoint in PyTorch.

    Args:
        bundle: the directory. If it stores rounded weights, the checkpoint's are rounded as well,
            and what that costs is a row of its own.
        checkpoint: what it was exported from, or is said to be.
        seeds: the pictures of each scene, None = 32, 16 or 8, by the network's multiply-adds.
        allow_chaotic: see `check_parity`.
        backend: what draws the bundle: 'onnxruntime' or 'openvino'. An engine has a proof of its
            own, `stylert verify --engine`.
        provider: what it runs on: 'cpu', 'cuda', 'webgpu' or 'auto'; see `Generator.open`.
        device: of OpenVINO or WebGPU, see there.
        precision: 'fp32' or 'fp16'; 'auto' = every one that the bundle has.
        threads: its CPU threads, None = as many as draw the pictures in the least time.
        progress: called with the images done, and those in all.
        say: called with a line on what a user should know, see `check_provenance`.

    Returns:
        The report, which may have failed.

    Raises:
        InvalidInput: an unknown backend, provider, device or precision, or some that do not go
            together.
        BundleError: it is damaged, not valid ONNX, or of another architecture.
        MissingExtra: the backend is not installed.
        EngineError: the backend or the provider does not run here.
    """
    from stylert.export.parity import check_parity, count_threads, open_precisions  # torch

    with ExitStack() as stack:
        threads = count_threads(checkpoint.config) if threads is None else threads
        opened = open_precisions(
            Path(bundle),
            precision,
            backend=backend,
            provider=provider,
            device=device,
            threads=threads,
        )
        generators = [stack.enter_context(generator) for generator in opened]
        opened_bundle = generators[0].bundle
        check_graphs(opened_bundle)
        for line in check_provenance(opened_bundle, checkpoint):
            say(line)
        with reading_manifest(opened_bundle.path):
            if note := tell_half(opened_bundle.manifest.get("half", {})):
                say(note)
        weights, floor = stored_weights(opened_bundle), weights_floor(opened_bundle)
        if floor is not None and floor < WEIGHT_FLOORS.get(weights, -math.inf):
            say(f"rounded weights may cost more than by default: the export asked for {floor:g} dB")
        report = check_parity(
            round_weights(checkpoint, weights),
            *generators,
            seeds=seeds,
            original=checkpoint,
            weights_floor=floor,
            allow_chaotic=allow_chaotic,
            progress=progress,
        )
    return replace(report, drawn_by=tuple(generator.choice for generator in generators))


def compare_bundle_layers(
    path: str | Path,
    checkpoint: Checkpoint | None = None,
    *,
    threads: int | None = None,
    engines: Mapping[str, Any] = MappingProxyType({}),
) -> LayerReport:
    """Compare what each layer of a bundle's graphs hands on, in every precision that it has.

    Args:
        path: the directory.
        checkpoint: what it was exported from, None = compare half precision with float32.
        threads: CPU threads of ONNX Runtime, None = all.
        engines: runners of engines by graph, to be compared, too.

    Raises:
        InvalidInput: there is nothing to compare with.
        BundleError: it is damaged, or of another architecture.
        EngineError: a graph does not run.
    """
    from stylert.export.layers import compare_layers  # loads torch

    bundle = Bundle.open(path)
    if checkpoint is None and HALF not in bundle.graphs and not engines:
        raise InvalidInput(
            f"layers: got {path}, which has one precision only, expected another one or a "
            "checkpoint to compare with. Pass checkpoint=FILE."
        )
    if checkpoint is not None:
        check_provenance(bundle, checkpoint)
        checkpoint = round_weights(checkpoint, stored_weights(bundle))
    return compare_layers(bundle, checkpoint, threads=threads, engines=engines)


def check_graphs(bundle: Bundle) -> None:
    """Run onnx.checker on both graphs, shapes and types included.

    Raises:
        BundleError: a graph is not valid ONNX.
    """
    for name in bundle.graphs:
        if fault := find_fault(bundle.file(name)):
            raise BundleError(f"Bundle {bundle.path}: {name}: {fault}")


def check_provenance(bundle: Bundle, checkpoint: Checkpoint) -> list[str]:
    """Compare a bundle with the checkpoint that it is said to come from.

    Returns:
        What a user should know, e.g. that the checkpoint is another file than the bundle's.

    Raises:
        BundleError: they differ in their architecture, or the bundle does not say where it is from.
    """
    try:
        config = dict(bundle.manifest["config"])
        source = bundle.manifest["provenance"]["source"]
        file, sha256, network = source["file"], source["sha256"], source["network"]
    except (KeyError, TypeError, ValueError):
        raise BundleError(
            f"Bundle {bundle.path}: {MANIFEST} does not say what it was made of. "
            "Export the checkpoint again."
        ) from None
    for key, value in checkpoint.config.to_json().items():
        if config.get(key) != value:
            raise BundleError(
                f"Bundle {bundle.path} has {key} {config.get(key)}, but {checkpoint.source.file} "
                f"has {value}: it is the bundle of another checkpoint."
            )
    if sha256 != checkpoint.source.sha256:
        return [f"{checkpoint.source.file} is not the file that was exported ({file})"]
    if network != checkpoint.source.network:
        return [f"the bundle holds the network {network}, not {checkpoint.source.network}"]
    return []
