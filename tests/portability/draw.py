"""Draw with the processor that is there, and compare with the official implementation's pictures.

It needs the runtime, NumPy and ONNX Runtime only: Pythons of other processors have nothing else.

    python draw.py BUNDLES GOLDENS    # a bundle for each golden, in a folder of the golden's name
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import compare, judge


def main(bundles: Path, goldens: Path) -> int:
    """Print a line for each array, and give the exit code."""
    started = time.monotonic()
    print(f"NumPy {np.__version__}, ONNX Runtime {onnxruntime.__version__},", end=" ")
    print(f"Python {platform.python_version()} on {platform.machine()}")
    # ONNX Runtime looks for itself, and tells nobody what it found.
    from numpy._core._multiarray_umath import __cpu_features__ as features

    print("NumPy sees", *(name for name, there in features.items() if there), flush=True)
    compared = failed = 0
    for bundle in sorted(bundles.iterdir()):
        for name, passed, figures in _compare(bundle, goldens / bundle.name):
            compared += 1
            failed += not passed
            verdict = "ok" if passed else "FAILED"
            print(f"  {bundle.name:<12} {name:<18} {figures:<36} {verdict}", flush=True)
    print(f"{compared - failed} passed, {failed} failed, in {time.monotonic() - started:.0f} s")
    return 0 if compared and not failed else 1


def _compare(bundle: Path, golden: Path) -> Iterator[tuple[str, bool, str]]:
    """What was compared, whether it passed, and by how much it differs."""
    arrays = dict(np.load(golden.with_suffix(".npz")))
    cutoff = json.loads(golden.with_suffix(".json").read_text())["truncation_cutoff"]
    for precision in Bundle.open(bundle).precisions:
        with Generator.open(bundle, provider="cpu", precision=precision) as generator:
            # Emulated, a picture of StyleGAN3 takes 6 seconds, and 35 in half precision.
            if precision == "fp16" and generator.bundle.family == "stylegan3":
                return
            n = 1 if generator.spec.img_height > 32 else 4
            ws = generator.map(arrays["z"], truncation_psi=0.7, truncation_cutoff=cutoff)
            drawn = {
                "ws_psi07_cut": ws,
                "img_const": generator.synthesize(arrays["ws_psi1"][:n], output="img"),
                "img_psi07": generator.synthesize(ws[:n], output="img"),
            }
            image = generator.synthesize(ws[:n])
        for key, got in drawn.items():
            difference = compare(arrays[key][: len(got)], got)
            figures = f"rms {difference.rms:.1e}  max |d| {difference.max_abs:.1e}"
            if precision == "fp16":
                figures += f"  {difference.psnr_db:.0f} dB"
            yield f"{precision} {key}", judge(difference, precision) > 0, figures
        if precision == "fp32":
            steps = np.abs(to_uint8(arrays["img_psi07"][:n]).astype(int) - image).max()
            yield f"{precision} as uint8", steps <= 1, f"max |d| {steps} of 255"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
