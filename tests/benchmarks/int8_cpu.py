"""INT8 in OpenVINO against float32: processor time at one thread, in turns, and what it costs.

    python tests/benchmarks/int8_cpu.py docs/results/int8-cpu.json

Quality is that of each network's own pictures: the demo is trained, the large ones have random
weights. Processor time at one thread says what a backend costs, also where other programs take
their share of the wall clock.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.export.int8.quantisation import quantise_bundle
from stylert.runtime.backends.processor import multiplies_bytes
from stylert.runtime.backends.tuned_choice import list_versions

DEMO = Path(__file__).parents[2] / "apps" / "demo" / "bundle"
CASES = {  # floor in dB, batch, turns
    "demo": ((40, 1, 25), (20, 1, 25)),
    "stylegan2-256": ((40, 1, 9),),
    "stylegan2-1024": ((40, 1, 3),),
}
BACKENDS: dict[str, dict[str, Any]] = {
    "onnxruntime": {"backend": "onnxruntime", "provider": "cpu", "precision": "fp32"},
    "openvino": {"backend": "openvino", "precision": "fp32"},
    "int8": {"backend": "openvino", "precision": "int8"},
}


def make_bundle(name: str, path: Path) -> None:
    if name == "demo":
        shutil.copytree(DEMO, path)
        return
    export_bundle(read_checkpoint(f"untrained:{name}"), path, verify_seeds=0, half="none")


def time_network(name: str, path: Path, floor: float, batch: int, turns: int) -> dict[str, Any]:
    """A row: quantised to a floor, then timed."""
    report = quantise_bundle(path, int8_floor=floor, force=True)
    print(f"{name}, floor {floor}: {report.to_json()}", flush=True)
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = {
            backend: stylert.open(path, threads=1, **where) for backend, where in BACKENDS.items()
        }
        told += [str(one.message) for one in caught]
    classes = {"class_idx": 0} if next(iter(opened.values())).spec.c_dim else {}
    samples: dict[str, list[float]] = {backend: [] for backend in opened}
    for _ in range(turns + 1):
        for backend, generator in opened.items():
            time.sleep(0.05)  # until the threads of the other one wait no more
            start = time.process_time()
            generator.generate(range(batch), **classes)
            samples[backend].append(time.process_time() - start)
    for generator in opened.values():
        generator.close()
    medians = {backend: statistics.median(of[1:]) for backend, of in samples.items()}
    over = {
        f"over_{one}": round(medians[one] / medians["int8"], 3)
        for one in ("onnxruntime", "openvino")
    }
    print(f"{name} batch {batch}: {medians}, {over}", flush=True)
    return {
        "network": name,
        "batch": batch,
        "cpu_seconds": medians,
        **over,
        "int8": report.to_json(),
        "vnni": multiplies_bytes(),
        "told": told,
        "samples": samples,
    }


def main() -> None:
    """Time all networks, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks:
            path = Path(folder) / name
            make_bundle(name, path)
            for floor, batch, turns in CASES[name]:
                rows.append(time_network(name, path, floor, batch, turns))
                result = {"machine": describe_machine(), "versions": list_versions(), "rows": rows}
                text = json.dumps(result, indent=1) + "\n"
                arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
