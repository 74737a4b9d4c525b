"""What a bundle proves without its checkpoint: whole files, and images that need no company."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime import Generator
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.proof.bundle_facts import (
    difference_at_export,
    list_proven,
    reading_manifest,
    reference_error,
)
from stylert.runtime.proof.parity import Difference, RoundingError, batch_difference, judge

__all__ = ["BundleCheck", "EncoderCheck", "check_bundle"]

MOST = 1e-4  # difference of codes, of their range: as the export asks for


@dataclass(frozen=True)
class EncoderCheck:
    """What an encoder proves without the file that it was made of."""

    batch_difference: float  # of the codes of pictures together and alone, of their range
    difference_at_export: float | None  # of its codes from PyTorch's, likewise; None = not compared

    @property
    def passed(self) -> bool:
        """Whether codes depend on nothing but their picture."""
        return self.batch_difference <= MOST  # nan is not, either

    def to_json(self) -> dict[str, Any]:
        """What was found, as plain JSON types."""
        return {
            "batch_difference": keep_finite(self.batch_difference),
            "difference_at_export": self.difference_at_export,
            "passed": self.passed,
        }


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
    encoder: EncoderCheck | None = None  # None = there is no encoder

    def failures(self) -> tuple[str, ...]:
        """A line for all that depends on what it is drawn, or seen, with."""
        lines = [
            f"{self.path}: {precision} images depend on the batch: {difference.max_abs:.3g}."
            for precision, difference in self.batch_differences.items()
            if not judge(difference, precision, self.reference_error)
        ]
        if self.encoder is not None and not self.encoder.passed:
            off = self.encoder.batch_difference
            lines.append(f"{self.path}: the encoder's codes depend on the batch: {off:.3g}.")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """What was found, as plain JSON types."""
        found = {precision: d.to_json() for precision, d in self.batch_differences.items()}
        facts: dict[str, Any] = {"batch_difference": found, "parity_at_export": self.parity}
        if self.int8 is not None:
            facts["int8"] = self.int8
        if self.encoder is not None:
            facts["encoder"] = self.encoder.to_json()
        return facts


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
    choices, differences, encoder = [], {}, None
    for name in list_proven(bundle, precision):
        with Generator.open(path, precision=name, check_files=False, **where) as generator:
            choices.append(generator.choice)
            differences[name] = batch_difference(generator)
            if ENCODER in bundle.graphs and encoder is None:
                encoder = _check_encoder(generator)
    return BundleCheck(
        path=bundle.path,
        choice=choices[0],
        batch_differences=differences,
        parity=bundle.manifest.get("parity"),
        difference_at_export=at_export,
        reference_error=reference_error(bundle),
        int8=bundle.manifest.get("int8"),
        encoder=encoder,
    )


def _check_encoder(generator: Generator) -> EncoderCheck:
    """Find the codes of three drawn pictures together, and alone."""
    facts, manifest = generator.encoder, generator.bundle.manifest
    with reading_manifest(generator.bundle.path):
        parity = manifest[ENCODER]["parity"]
        at_export = None if parity is None else float(parity["difference"])
    options: dict[str, Any] = {"class_idx": 0} if generator.spec.c_dim else {}
    images = generator.generate(range(3), **options)  # [3, H, W, C]
    if facts.picture == "labels":
        pictures = images[..., 0] % facts.channels
    else:
        pictures = images[..., : 3 if images.shape[-1] > 2 else 1]
    together = generator.invert(pictures, passes=1)
    alone = np.concatenate([generator.invert(picture, passes=1) for picture in pictures])
    difference = float(np.abs(together - alone).max() / max(np.abs(alone).max(), 1e-6))
    return EncoderCheck(difference, at_export)
