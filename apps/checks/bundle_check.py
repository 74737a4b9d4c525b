"""What a bundle proves without its checkpoint: whole files, and images that need no company."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylert.runtime import Generator
from stylert.runtime.proof.bundle_facts import difference_at_export, reference_error
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
    path: str | Path, *, provider: str = "cpu", threads: int | None = None
) -> BundleCheck:
    """Compare a bundle's files with their checksums, and its images drawn together with alone.

    Args:
        path: the bundle's directory.
        provider: 'cpu', 'cuda' or 'auto'; see `Generator.open`.
        threads: CPU threads, None = all that are usable.

    Raises:
        BundleError: a file is missing or was changed, or the manifest is damaged.
        MissingExtra: the backend is not installed.
        EngineError: the provider does not run here.
    """
    options: dict[str, Any] = {"provider": provider, "threads": threads}
    with Generator.open(path, **options) as generator:
        bundle, choice = generator.bundle, generator.choice
    at_export = difference_at_export(bundle)
    differences = {}
    for precision in (name for name in bundle.precisions if name != "int8"):
        with Generator.open(path, precision=precision, check_files=False, **options) as one:
            differences[precision] = batch_difference(one)
    return BundleCheck(
        path=bundle.path,
        choice=choice,
        batch_differences=differences,
        parity=bundle.manifest.get("parity"),
        difference_at_export=at_export,
        reference_error=reference_error(bundle),
        int8=bundle.manifest.get("int8"),
    )
