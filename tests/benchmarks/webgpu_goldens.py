"""Every golden on WebGPU's software adapter, against ONNX Runtime on the processor.

    python tests/benchmarks/webgpu_goldens.py docs/results/webgpu-goldens.json

The plug-in may put nothing on the processor. Each network is given the styles of its golden, once
as they are and once with the w of another picture in each layer, with noise and without it, moved
and turned where it can. `--only` draws some of them, and keeps the rows that the file has of the
others. Times are of a program on the processor: they say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.bundle import GPU, MANIFEST, sealed
from stylert.runtime.packages import installed_version
from stylert.runtime.proof.bundle_facts import reference_error
from stylert.runtime.proof.parity import compare, judge

GOLDENS = Path(__file__).parents[1] / "goldens"
CHECKPOINTS = {
    path.stem: path
    for folder in (GOLDENS, GOLDENS / "field")
    for path in sorted(folder.glob("*.p*"))
    if path.suffix in (".pkl", ".pt") and path.with_suffix(".npz").is_file()
}


def find_ws(generator: stylert.Generator, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The styles of a golden's first pictures [2, num_ws, w_dim]; some have only their z."""
    name = "ws_psi1" if "ws_psi1" in arrays else "ws"
    ws = arrays[name] if name in arrays else generator.map(arrays["z"][:2], truncation_psi=1.0)
    return np.asarray(ws[:2])


def list_draws(
    generator: stylert.Generator, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """The scenes of a golden: name, ws [2, num_ws, w_dim], and options of `synthesize`."""
    ws = find_ws(generator, arrays)
    mixed = ws.copy()
    mixed[:, 1::2] = ws[::-1, 1::2]
    yield "as it is", ws, {}
    options: dict[str, Any] = {}
    if generator.bundle.noise_inputs:
        options = {"noise_mode": "none"}
    if "user_transform" in arrays:
        options = {"transform": arrays["user_transform"]}
    yield "another w in each layer", mixed, options


def draw_golden(name: str, folder: Path) -> dict[str, Any]:
    """The row of a golden."""
    checkpoint, bundle = read_checkpoint(str(CHECKPOINTS[name])), folder / name
    export_bundle(checkpoint, bundle, verify_seeds=2, half="none")
    arrays = dict(np.load(CHECKPOINTS[name].with_suffix(".npz")))
    row: dict[str, Any] = {"golden": name, "scenes": {}}
    with stylert.open(bundle, provider="cpu") as cpu:
        start = time.process_time()
        with stylert.open(bundle, provider="webgpu", device="software") as webgpu:
            row["opening_cpu_seconds"] = time.process_time() - start
            row["adapter"] = webgpu.describe()["device_name"]
            error = reference_error(cpu.bundle)
            for scene, ws, options in list_draws(cpu, arrays):
                start = time.process_time()
                drawn = webgpu.synthesize(ws, output="img", **options)
                seconds = time.process_time() - start
                found = compare(cpu.synthesize(ws, output="img", **options), drawn)
                row["scenes"][scene] = {
                    **found.to_json(),
                    "proven": judge(found, "fp32", error),
                    "cpu_seconds_a_picture": seconds / len(ws),
                }
            z, c = arrays["z"][:2], arrays.get("c")
            labels = None if c is None or not c.size else c[:2]
            styles = [opened.map(z, labels, truncation_psi=1.0) for opened in (cpu, webgpu)]
            row["ws_max_abs"] = float(np.abs(styles[0] - styles[1]).max())
    if GPU in cpu.bundle.graphs:
        _forget_shape_for_gpus(bundle)
        with stylert.open(bundle, provider="webgpu", device="software") as webgpu:
            start = time.process_time()
            webgpu.synthesize(find_ws(webgpu, arrays)[:1], output="img")
            row["cpu_seconds_a_picture_of_the_graph_for_cpus"] = time.process_time() - start
    row["proven"] = all(scene["proven"] for scene in row["scenes"].values())
    row["max_abs"] = max(scene["max_abs"] for scene in row["scenes"].values())
    return row


def _forget_shape_for_gpus(bundle: Path) -> None:
    """Leave the bundle only the graph that has the shape for processors."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    del manifest["graphs"][GPU], manifest["files"][f"{GPU}.onnx"]
    (bundle / MANIFEST).write_text(json.dumps(sealed(manifest)), encoding="utf-8")


def main() -> None:
    """Draw all goldens, or those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=list(CHECKPOINTS))
    arguments = parser.parse_args()
    rows = {}
    if arguments.out.is_file():
        rows = {row["golden"]: row for row in json.loads(arguments.out.read_text())["goldens"]}
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = draw_golden(name, Path(folder))
        shown = {key: rows[name][key] for key in ("golden", "proven", "max_abs", "ws_max_abs")}
        print(shown, flush=True)
        result = {
            "machine": describe_machine(),
            "versions": {
                package: installed_version(package)
                for package in ("onnxruntime", "onnxruntime-ep-webgpu")
            },
            "goldens": [rows[name] for name in CHECKPOINTS if name in rows],
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
