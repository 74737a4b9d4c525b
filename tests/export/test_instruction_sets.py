"""Goldens with PyTorch held to other instruction sets: what other processors compute.

ONNX Runtime takes what the processor has and cannot be held; `make portable` runs it on others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# ATen's own kernels, and those of oneDNN.
SETS = {
    "SSE": ("default", "SSE41"),
    "AVX2": ("avx2", "AVX2"),
    "AVX-512": ("avx512", "AVX512_CORE"),
}
NAMES = ("sg1-tf-32", "sg2-skip-32")

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np, torch
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.export.families import build_model
from stylert.runtime.proof.parity import RoundingError, compare, measure_excess

torch.set_num_threads(1)
goldens, out, *names = sys.argv[1:]
found = {"capability": torch.backends.cpu.get_cpu_capability()}
for name in names:
    checkpoint = read_checkpoint(Path(goldens) / f"{name}.pkl")
    arrays = dict(np.load(Path(goldens) / f"{name}.npz"))
    official = arrays["img_const"][:2]
    ws = torch.from_numpy(arrays["ws_psi1"][:2])
    model = build_model(checkpoint)
    got = model.synthesis(ws).numpy()
    exact = model.to(dtype=torch.float64).synthesis(ws.double()).numpy()
    error = RoundingError.measure(exact, official)
    excess = measure_excess(compare(official, got))
    report = export_bundle(checkpoint, Path(out) / name, verify_seeds=2, half="none")
    found[name] = {
        "excess": min(excess, compare(exact, got).excess(error.tolerance())),
        "passed": report.passed,
        "gates": sorted({row.gate for row in report.rows}),
    }
print(json.dumps(found))
"""


def held_already() -> bool:
    """Whether who runs the tests holds one of the two himself, so that they may differ."""
    return any(name in os.environ for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"))


@pytest.mark.parametrize("name", SETS)
def test_goldens_on_other_instruction_sets(name: str, goldens: Path, tmp_path: Path) -> None:
    aten, onednn = SETS[name]
    if aten == "avx512" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512, and PyTorch would try it all the same")
    if aten == torch.backends.cpu.get_cpu_capability().lower() and not held_already():
        pytest.skip("PyTorch takes it by itself here, so all other tests compute with it")
    held = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(goldens), str(tmp_path), *NAMES],
        env={**os.environ, **held},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["capability"].lower() == aten
    for golden in NAMES:
        assert found[golden]["passed"], found
        assert found[golden]["excess"] <= 1 / 2, found
