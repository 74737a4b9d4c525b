"""What a bundle proves without its checkpoint: whole files, and images that need no company."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.runtime import Generator
from stylert.runtime.bundle import Bundle
from stylert.runtime.proof.bundle_facts import (
    difference_at_export,
    list_proven,
    reference_error,
)
from stylert.runtime.proof.parity import Difference, RoundingError, batch_difference, judge

__all__ = ["BundleCheck", "check_bundle"]


@dataclass(frozen=True)
class BundleCheck:
    """What was found."""

    path: Path
    choice: str  # what it ran on, and why
    batch_differences: Mapping[str, Difference]  # by precision: drawn together against alone
    parity: Mapping[str, Any] | None  # the manifest's report of the comparison at export
    difference_at_export: float | None  # its max |d| in float32; None = not compared
    reference_error: RoundingError | None = None  # of PyTorch's float32, where that is known
    int8: Mapping[str, Any] | None = (
        None  # what the manifest says of the INT8 graph, if it is there
    )

    def failures(self) -> tuple[str, ...]:
        """A line for each precision whose images depend on what they are drawn with."""
        return tuple(
            f"{self.path}: {precision} images depend on the batch: {difference.max_abs:.3g}."
            for precision, difference in self.batch_differences.items()
            if not judge(difference, precision, self.reference_error)
        )

    def to_json(self) -> dict[str, Any]:
        """What was found, as plain JSON types."""
        found = {precision: d.to_json() for precision, d in self.batch_differences.items()}
        facts = {"batch_difference": found, "parity_at_export": self.parity}
        return facts if self.int8 is None else {**facts, "int8": self.int8}


def check_bundle(
    path: str | Path,
    *,
    backend: str = "onnxruntime",
    provider: str = "cpu",
    device: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
) -> BundleCheck:
    """Compare a bundle's files with their checksums, and its images drawn together with alone.

    Args:
        path: the bundle's directory.
        backend: 'onnxruntime' or 'openvino'; see `Generator.open`.
        provider: 'cpu', 'cuda', 'webgpu' or 'auto'; see there.
        device: of OpenVINO or WebGPU, see there.
        precision: 'fp32' or 'fp16'; 'auto' = every one that the bundle has.
        threads: CPU threads, None = all that are usable.

    Raises:
        InvalidInput: an unknown backend, provider, device or precision, or some that do not go
            together.
        BundleError: a file is missing or was changed, or the manifest is damaged.
        MissingExtra: the backend is not installed.
        EngineError: the backend or the provider does not run here.
    """
    bundle = Bundle.open(path)
    at_export = difference_at_export(bundle)
    where: dict[str, Any] = {
        "backend": backend,
        "provider": provider,
        "device": device,
        "threads": threads,
    }
    choices, differences = [], {}
    for name in list_proven(bundle, precision):
        with Generator.open(path, precision=name, check_files=False, **where) as generator:
            choices.append(generator.choice)
            differences[name] = batch_difference(generator)
    return BundleCheck(
        path=bundle.path,
        choice=choices[0],
        batch_differences=differences,
        parity=bundle.manifest.get("parity"),
        difference_at_export=at_export,
        reference_error=reference_error(bundle),
        int8=bundle.manifest.get("int8"),
    )
