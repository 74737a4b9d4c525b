"""One step of a projection: the gradient's graph against a plain synthesis, and against torch.

    python tests/benchmarks/gradient_cpu.py docs/results/gradient-cpu.json

Processor time at one thread, in turns, on random weights: it says what a step costs also where
other programs take their share of the wall clock. A step draws, compares with a target, and gives
the gradient of ws alone. Peak memory is that of a process of its own, of which what it had before
its first step is taken away.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.runtime.backends.tuned_choice import list_versions
from stylert.runtime.bundle import Bundle

NAME = "stylegan2-256"
TURNS = {1: 6, 4: 3}  # by batch
MEMORY = {"stylegan2-256": (1, 4), "stylegan2-1024": (1,)}  # batches


def open_graph(bundle: Path, backend: str) -> Any:
    where = {"provider": "cpu"} if backend == "onnxruntime" else {}
    return stylert.open(bundle, backend=backend, threads=1, max_batch=8, **where)


def make_torch_step(network: str, ws: np.ndarray, target: np.ndarray) -> Callable[[], Any]:
    """The same step of the reference."""
    import torch

    from stylert.export.checkpoints import read_checkpoint
    from stylert.export.families import build_model

    torch.set_num_threads(1)
    model = build_model(read_checkpoint(f"untrained:{network}"))
    aim = torch.from_numpy(target)

    def step() -> Any:
        styles = torch.from_numpy(ws.copy()).requires_grad_(True)
        img = model.synthesis(styles)
        (img - aim).square().mean((1, 2, 3)).sum().backward()
        return styles.grad

    return step


def draw_inputs(generator: Any, batch: int) -> tuple[np.ndarray, np.ndarray]:
    ws = generator.styles([*range(batch)], truncation_psi=1)
    shape = (batch, 3, generator.spec.img_height, generator.spec.img_width)
    return ws, np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def time_steps(bundle: Path) -> list[dict[str, Any]]:
    """A row for each batch."""
    rows = []
    with open_graph(bundle, "onnxruntime") as ort, open_graph(bundle, "openvino") as openvino:
        for batch, turns in TURNS.items():
            ws, target = draw_inputs(ort, batch)
            ways: dict[str, Callable[[], Any]] = {"torch": make_torch_step(NAME, ws, target)}
            for name, generator in (("onnxruntime", ort), ("openvino", openvino)):
                ways[f"{name}, synthesis"] = partial(generator.synthesize, ws, output="img")
                ways[f"{name}, step"] = partial(generator.draw_gradient, ws, target, scales=[1])
            samples: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(turns + 1):
                for way, run in ways.items():
                    time.sleep(0.05)  # until the threads of the other one wait no more
                    start = time.process_time()
                    run()
                    samples[way].append(time.process_time() - start)
            seconds = {way: round(statistics.median(of[1:]), 4) for way, of in samples.items()}
            row: dict[str, Any] = {"network": NAME, "batch": batch, "seconds": seconds}
            for name in ("onnxruntime", "openvino"):
                step = seconds[f"{name}, step"]
                row[f"{name}: step / synthesis"] = round(step / seconds[f"{name}, synthesis"], 2)
                row[f"{name}: torch / step"] = round(seconds["torch"] / step, 2)
            rows.append(row)
            print(row, flush=True)
    return rows


def measure_memory(bundle: Path, network: str, way: str, batch: int) -> None:
    """What one step takes, in a process of its own; prints bytes."""
    spec = Bundle.open(bundle).spec  # nothing of the other way is loaded, torch or ONNX Runtime
    random = np.random.RandomState(0)
    ws = random.standard_normal((batch, spec.num_ws, spec.w_dim)).astype(np.float32)
    shape = (batch, spec.img_channels, spec.img_height, spec.img_width)
    target = random.uniform(-1, 1, shape).astype(np.float32)
    with contextlib.ExitStack() as stack:
        if way == "torch":
            step = make_torch_step(network, ws, target)
        else:
            generator = stack.enter_context(open_graph(bundle, "onnxruntime"))
            step = partial(generator.draw_gradient, ws, target, scales=[1])
        before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        step()
        step()
        # Not ru_maxrss, which starts at what the parent process had.
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps({"step": peak - before, "process": peak}))


def measure_all(folder: Path) -> list[dict[str, Any]]:
    """A row for each network and batch."""
    rows = []
    for network, batches in MEMORY.items():
        for batch in batches:
            row: dict[str, Any] = {"network": network, "batch": batch}
            for way in ("onnxruntime", "torch"):
                command = [
                    sys.executable,
                    __file__,
                    "-",
                    "--memory",
                    str(folder / network),
                    network,
                ]
                done = subprocess.run(
                    [*command, way, str(batch)], check=True, capture_output=True, text=True
                )
                found = json.loads(done.stdout.splitlines()[-1])
                row[way] = {f"{name} MB": round(size / 2**20) for name, size in found.items()}
            row["share of torch's"] = round(
                row["onnxruntime"]["process MB"] / row["torch"]["process MB"], 2
            )
            rows.append(row)
            print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--memory", nargs=4, default=None)
    arguments = parser.parse_args()
    if arguments.memory:
        bundle, network, way, batch = arguments.memory
        return measure_memory(Path(bundle), network, way, int(batch))
    from stylert.export.bundle_writer import export_bundle
    from stylert.export.checkpoints import read_checkpoint

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for network in MEMORY:
            checkpoint = read_checkpoint(f"untrained:{network}")
            options: dict[str, Any] = {"verify_seeds": 0, "half": "none", "gradient": True}
            export_bundle(checkpoint, folder / network, **options)
        sizes = {
            network: {
                file.name: file.stat().st_size for file in sorted((folder / network).glob("*.onnx"))
            }
            for network in MEMORY
        }
        found = {
            "machine": describe_machine(),
            "versions": list_versions(),
            "bytes": sizes,
            "steps": time_steps(folder / NAME),
            "memory": measure_all(folder),
        }
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
