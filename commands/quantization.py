"""`stylert quantize`: the synthesis graph of a bundle in 8 bits, and what that costs."""

from __future__ import annotations

import shlex
from typing import Annotated

from stylert.commands import console
from stylert.commands.export import FLOOR, in_int8, need_export, print_int8
from stylert.commands.options import AsJson, BundleFolder, Force, Threads
from stylert.runtime.bundle import INT8

__all__ = ["quantize"]


def quantize(
    bundle: BundleFolder,
    *,
    int8_floor: Annotated[
        float, in_int8("Least PSNR of INT8 pictures in dB; layers stay in float32 until it holds.")
    ] = FLOOR,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Add the synthesis graph in 8 bits to a bundle, and measure what it costs in pictures.

    OpenVINO and TensorRT draw with it, where it is asked for by name.

    Example: stylert quantize ffhq-bundle
    """
    need_export()
    from stylert.export.int8.quantisation import quantise_bundle

    with console.show_progress() as progress:
        report = quantise_bundle(
            bundle, int8_floor=int8_floor, force=force, threads=threads, progress=progress
        )
    if as_json:
        return console.print_json({"files": [str(bundle / f"{INT8}.onnx")], **report.to_json()})
    print_int8(report.to_json())
    draw = f"stylert generate {shlex.quote(str(bundle))} --precision int8 --seeds 0-15 --out images"
    return console.say(f"Draw with: {draw}")
