"""The proof of a bundle that is about to be published: float32 has to pass, half is made to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from stylert.export.bundle_draft import BundleDraft
from stylert.export.checkpoints import Checkpoint
from stylert.export.half_search import GOOD_DB, HalfSearch
from stylert.export.parity import (
    ParityReport,
    check_parity,
    count_threads,
    make_parity_error,
    open_precisions,
)
from stylert.runtime.generator import Generator
from stylert.runtime.proof.bundle_facts import tell_half
from stylert.runtime.proof.parity import STORED_WEIGHTS, TOLERANCES

__all__ = ["prove_bundle"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all


def prove_bundle(
    draft: BundleDraft,
    original: Checkpoint,
    *,
    seeds: Sequence[int],
    half_strict: bool = False,
    allow_chaotic: bool = False,
    progress: Progress,
) -> ParityReport:
    """Compare a draft with its checkpoint, and move blocks to float32 until half precision holds.

    Args:
        draft: all files are written but the manifest.
        original: its checkpoint before the weights were rounded, if they were.
        seeds: the pictures of each scene.
        half_strict: fail where blocks would have to be moved.
        allow_chaotic: see `check_parity`.
        progress: called as the work goes on.

    Raises:
        ParityError: float32 does not reproduce the reference, rounded weights cost too much, or
            `half_strict` and half does.
    """
    report = _compare(draft, original, seeds, allow_chaotic, progress)
    settled = report.has_passed("fp32") and report.has_passed(STORED_WEIGHTS)
    if not settled or (report.chaotic and not allow_chaotic):
        raise make_parity_error(report)
    report = _settle_half(draft, report, seeds, half_strict, progress)
    if not report.passed:
        raise make_parity_error(report)
    return report


def _settle_half(
    draft: BundleDraft,
    report: ParityReport,
    seeds: Sequence[int],
    strict: bool,
    progress: Progress,
) -> ParityReport:
    """Move blocks of the half-precision graph to float32, as long as its pictures are too far."""
    if strict or _measure_half(report) >= TOLERANCES["fp16"].psnr_db:
        return report
    search = HalfSearch(
        draft.checkpoint,
        draft.half.half_blocks,
        draft.graph_options,
        lambda done, total: progress("measuring half precision", done, total),
    )
    others = tuple(row for row in report.rows if row.precision != "fp16")
    while _measure_half(report) < GOOD_DB:
        blocks = search.step()
        moved = dict(search.moved)
        draft.replace_half(replace(draft.half, half_blocks=blocks, compact=False, moved=moved))
        rows = others
        if blocks:
            again = _compare(draft, draft.checkpoint, seeds, False, progress, precision="fp16")
            rows += tuple(row for row in again.rows if row.precision == "fp16")
        report = replace(report, rows=rows)
    note = tell_half(draft.half.to_json())
    return replace(report, notes=(*report.notes, *([note] if note else [])))


def _compare(
    draft: BundleDraft,
    original: Checkpoint,
    seeds: Sequence[int],
    allow_chaotic: bool,
    progress: Progress,
    *,
    precision: str | None = None,
) -> ParityReport:
    """Compare the draft in every precision that it has, or in one."""
    draft.write_manifest(None)
    threads = count_threads(draft.checkpoint.config)
    options: dict[str, Any] = {"backend": "onnxruntime", "provider": "cpu", "threads": threads}
    with ExitStack() as stack:
        if precision is None:
            opened = open_precisions(draft.folder, **options)
        else:
            opened = iter([Generator.open(draft.folder, precision=precision, **options)])
        return check_parity(
            draft.checkpoint,
            *(stack.enter_context(generator) for generator in opened),
            seeds=seeds,
            original=original,
            weights_floor=draft.weights_floor,
            allow_chaotic=allow_chaotic,
            progress=lambda done, total: progress("comparing with PyTorch", done, total),
        )


def _measure_half(report: ParityReport) -> float:
    """The PSNR of the worst picture in half precision; infinite if there is none."""
    rows = (row for row in report.rows if (row.precision, row.output) == ("fp16", "img"))
    return min((row.difference.psnr_db for row in rows), default=float("inf"))
