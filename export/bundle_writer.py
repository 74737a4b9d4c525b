"""From a checkpoint to a bundle: write beside, prove it, then move it into place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stylert.export.bundle_draft import BundleDraft
from stylert.export.checkpoints import Checkpoint
from stylert.export.encoders.bundling import add_encoder
from stylert.export.encoders.config import Encoder
from stylert.export.encoders.half import tell_half_encoder
from stylert.export.int8.quantisation import check_floor, quantise_bundle
from stylert.export.parity import ParityReport, count_pictures
from stylert.export.precision import choose_half
from stylert.export.proving import prove_bundle
from stylert.export.weight_rounding import round_weights
from stylert.runtime.arguments import check_integer, shown_number
from stylert.runtime.bundle import check_target
from stylert.runtime.control.truncation import as_number
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.files.publishing import publish_folder
from stylert.runtime.proof.parity import WEIGHT_FLOORS

__all__ = ["check_target", "export_bundle"]

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all


def export_bundle(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    force: bool = False,
    verify_seeds: int | None = None,
    half: str = "native",
    half_strict: bool = False,
    weights: str = "fp32",
    gradient: bool = False,
    style_space: bool = False,
    weights_floor: float | None = None,
    allow_chaotic: bool = False,
    int8_floor: float | None = None,
    encoder: Encoder | None = None,
    graph_options: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> ParityReport | None:
    """Write a bundle, check it against the reference, and publish it. All of it, or nothing.

    Args:
        checkpoint: the generator.
        out: the bundle's directory; a link is followed.
        force: replace a bundle that is already there.
        verify_seeds: pictures compared in each scene, None = 32, 16 or 8, by the network's
            multiply-adds; 0 = publish without any check: blocks that would have to be measured for
            half precision stay in float32 then.
        half: blocks that compute in half precision in the second synthesis graph: 'native', 'all',
            'none' (no such graph), or a list such as 'b64,b128'; see `choose_half`.
        half_strict: where their pictures are too far off, fail; by default blocks are moved to
            float32 until they are not, those that cost most first.
        weights: what the large weights are stored as: 'fp32'; 'int16', which halves the files; or
            'int8', a third of them. Everything is still computed in float32.
        weights_floor: PSNR in dB that the pictures of rounded weights have to reach, None = 80 for
            'int16', 40 for 'int8'.
        gradient: write the graph that `Generator.draw_gradient` needs, too; its weights are those
            of the synthesis graph.
        style_space: the synthesis graphs take offsets of the styles of all layers, for edits of
            single channels; see `stylert.runtime.control.style_space`.
        allow_chaotic: publish a network whose float32 is far from float64 in PyTorch itself, so
            that nothing can be proven.
        int8_floor: add the synthesis graph in 8 bits, with at least this PSNR in dB; None = none.
            Where it cannot be reached there is no such graph, which is no error of the user's.
        encoder: goes into the bundle, too: one for this generator.
        graph_options: options of the family's graph, such as `up_convolution` of StyleGAN2.
        progress: called as the work goes on.
        say: called with a line on what a user should know.

    Returns:
        The parity report, None without a check. It is in the manifest, too.

    Raises:
        InvalidInput: `out` exists, and is no bundle or `force` is not given; or another argument is
            out of range.
        ParityError: the graphs do not reproduce the reference; its `report` says where.
        OSError: the disk is full, or the folder cannot be written.
    """
    check_target(Path(out), force=force)
    if int8_floor is not None:
        check_floor(int8_floor)
    if verify_seeds is not None:
        check_integer("verify_seeds", verify_seeds, 0)
    original, checkpoint = checkpoint, round_weights(checkpoint, weights)
    floor = _choose_floor(weights, weights_floor)
    with publish_folder(out) as folder:
        chosen = choose_half(
            checkpoint,
            half,
            measure=verify_seeds != 0,  # a float32 bundle needs no measurement
            progress=lambda done, total: progress("measuring activations", done, total),
        )
        draft = BundleDraft(
            checkpoint,
            folder,
            chosen,
            graph_options,
            weights,
            gradient=gradient,
            style_space=style_space,
            weights_floor=floor,
        )
        draft.write(progress)
        report = None
        if verify_seeds != 0:
            report = prove_bundle(
                draft,
                original,
                seeds=range(verify_seeds or count_pictures(checkpoint.config)),
                half_strict=half_strict,
                allow_chaotic=allow_chaotic,
                progress=progress,
            )
            draft.prove_gpu_shape(report.errors.get("img"))
        draft.write_manifest(None if report is None else report.to_json())
        if encoder is not None:
            facts = add_encoder(folder, encoder, verify=verify_seeds != 0)
            if told := tell_half_encoder(facts.get("half")):
                say(told)
        if int8_floor is not None:
            try:
                quantise_bundle(folder, int8_floor=int8_floor, progress=progress)
            except ParityError as error:
                say(f"There is no INT8 graph. {error}")
    return report


def _choose_floor(weights: str, given: float | None) -> float | None:
    """The PSNR that rounded weights have to reach; None where nothing is rounded."""
    if given is not None and weights not in WEIGHT_FLOORS:
        raise InvalidInput(
            f"weights_floor: got {shown_number(given)} with weights={weights!r}, expected rounded "
            f"weights: {' or '.join(WEIGHT_FLOORS)}."
        )
    if given is not None and not math.isfinite(as_number(given)):
        raise InvalidInput(f"weights_floor: got {shown_number(given)}, expected a number of dB.")
    return WEIGHT_FLOORS.get(weights) if given is None else float(given)
