"""Which other tools draw our ONNX files right: each in a venv of its own, on copies of the files.

    python tests/consumers/compare.py --work /tmp/consumers                # all, some minutes
    python tests/consumers/compare.py --work /tmp/consumers --only ncnn

It is no part of `make test`: it fetches some 900 MB of packages, pinned below, into WORK. It prints
the rows of the table in docs/backends.md, and writes them to WORK/consumers.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.latents import make_z
from stylert.runtime.proof.parity import compare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NETWORKS = {
    "demo": ROOT / "examples" / "demo.safetensors",
    "sg3-t-64": ROOT / "tests" / "goldens" / "sg3-t-64.pkl",
}
# Of every network: its graph, the same with small weights, and that of half precision.
FILES = {
    "fp32": ("fp32", "synthesis.onnx"),
    "int8 weights": ("int8", "synthesis.onnx"),
    "fp16": ("fp32", "synthesis.fp16.onnx"),
}
CASES = {"1 picture": (1, 1), "4 pictures": (4, 4), "4, shared noise": (4, 1)}  # N, M


@dataclass(frozen=True)
class Consumer:
    """A tool that reads ONNX files.

    Attributes:
        packages: what is installed for it, with pip or, for .mjs, with npm.
        program: of the folder draw: `program GRAPH FEEDS.npz OUT.npz`.
    """

    packages: tuple[str, ...]
    program: str


CONSUMERS = {
    "ONNX Runtime": Consumer(("onnxruntime==1.32.0", "numpy==2.4.6"), "onnx_runtime.py"),
    "ONNX Runtime, its half converter": Consumer(
        ("onnxruntime==1.32.0", "onnx==1.19.1", "sympy==1.14.0"), "ort_half.py"
    ),
    "onnxconverter-common, to half": Consumer(
        ("onnxconverter-common==1.16.0", "onnxruntime==1.32.0", "onnx==1.19.1"), "common_half.py"
    ),
    "OpenVINO": Consumer(("openvino==2026.4.1", "numpy==2.4.6"), "open_vino.py"),
    "onnxruntime-web (WASM, in Node)": Consumer(("onnxruntime-web@1.30.0",), "ort_web.mjs"),
    "onnx2torch": Consumer(("onnx2torch==1.5.15", "torch==2.13.0"), "onnx_to_torch.py"),
    "ncnn by pnnx": Consumer(
        ("pnnx==20261020", "ncnn==1.0.20261020", "onnx==1.19.1", "torch==2.13.0"), "ncnn_by_pnnx.py"
    ),
    "LiteRT by onnx2tf": Consumer(("onnx2tf==1.29.24",), "lite_rt.py"),
}


def main() -> None:
    """Compare all, or those that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for venvs and files")
    parser.add_argument("--only", action="append", help="part of a consumer's name")
    given = parser.parse_args()
    chosen = {
        name: consumer
        for name, consumer in CONSUMERS.items()
        if not given.only or any(part.lower() in name.lower() for part in given.only)
    }
    given.work.mkdir(parents=True, exist_ok=True)
    scenes = {name: _prepare(given.work, name) for name in NETWORKS}
    path = given.work / "consumers.json"
    rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name, consumer in chosen.items():
        runner = _install(given.work / consumer.program, consumer)
        for network, cases in scenes.items():
            for file in FILES:
                row = rows.setdefault(name, {}).setdefault(network, {})
                row[file] = _judge(given.work, runner, consumer, network, file, cases)
                print(f"| {name} | {network}, {file} | {row[file]} |", flush=True)
                path.write_text(json.dumps(rows, indent=1) + "\n")


def _prepare(work: Path, network: str) -> dict[str, Path]:
    """The bundles of a network, and of every case the feeds and what ONNX Runtime draws of them."""
    checkpoint = read_checkpoint(NETWORKS[network])
    folder = work / network
    for weights in ("fp32", "int8"):
        if not (folder / weights).exists():
            floor = None if weights == "fp32" else 0.0  # what it costs is not the question here
            export_bundle(
                checkpoint, folder / weights, weights=weights, weights_floor=floor, verify_seeds=2
            )
    random, cases = np.random.RandomState(0), dict[str, Path]()
    for weights in ("fp32", "int8"):
        bundle = Bundle.open(folder / weights)
        session = onnxruntime.InferenceSession(
            str(bundle.file("synthesis")), providers=["CPUExecutionProvider"]
        )
        for case, (n, m) in CASES.items():
            if m != n and not bundle.noise_inputs:
                continue  # no noise to share
            feeds = {
                spec.name: random.standard_normal((m, *spec.shape[1:])).astype(np.float32)
                for spec in bundle.noise_inputs
            }
            with Generator.open(bundle.path, backend="onnxruntime", provider="cpu") as generator:
                z, classes = make_z(range(n), bundle.spec.z_dim), bundle.spec.c_dim
                feeds["ws"] = generator.map(z, np.eye(classes)[:n] if classes else None)
            if "transform" in {given.name for given in session.get_inputs()}:
                turned = np.array([[0.8, -0.6, 0.1], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
                feeds["transform"] = np.repeat(turned[None], n, axis=0)
            (expected,) = session.run(["img"], feeds)
            cases[f"{weights}/{case}"] = folder / f"{weights}-{case.replace(' ', '-')}.npz"
            np.savez(cases[f"{weights}/{case}"], **feeds, expected=expected)
    return cases


def _install(folder: Path, consumer: Consumer) -> list[str]:
    """A venv, or for Node a folder, with the packages; the command that runs programs in it."""
    program = str(HERE / "draw" / consumer.program)
    if consumer.program.endswith(".mjs"):
        folder.mkdir(exist_ok=True)
        _call("npm", "install", "--prefix", str(folder), "--ignore-scripts", *consumer.packages)
        copy = shutil.copy(program, folder)  # Node looks for packages beside the program
        return ["node", str(copy)]
    if not (folder / "bin" / "python").exists():
        _call(sys.executable, "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    _call(python, "-m", "pip", "install", "--quiet", *consumer.packages)
    return [python, program]


def _judge(
    work: Path,
    runner: list[str],
    consumer: Consumer,
    network: str,
    file: str,
    cases: dict[str, Path],
) -> str:
    """What a consumer makes of a file in each case, in words."""
    weights, name = FILES[file]
    found: list[str] = []
    for case in CASES:
        feeds = cases.get(f"{weights}/{case}")
        if feeds is None:
            continue
        copy = work / "copies" / consumer.program
        shutil.rmtree(copy, ignore_errors=True)  # converters write beside, and into, what they read
        copy.mkdir(parents=True)
        graph = shutil.copy(work / network / weights / name, copy / "synthesis.onnx")
        out = copy / "out.npz"
        done = subprocess.run(
            [*runner, str(graph), str(feeds), str(out)], cwd=copy, capture_output=True, text=True
        )
        if done.returncode or not out.exists():
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
            found.append(f"{case}: fails: {lines[-1][:140]}")
            continue
        rewritten = graph.read_bytes() != (work / network / weights / name).read_bytes()
        found.append(f"{case}: {_measure(feeds, out)}{', rewrites its input' * rewritten}")
    if len({row.partition(": ")[2] for row in found}) == 1:
        return found[0].partition(": ")[2]
    return "; ".join(found)


def _measure(feeds: Path, out: Path) -> str:
    with np.load(feeds) as given, np.load(out) as drawn:
        expected, got = given["expected"], drawn["img"].astype(np.float32)
        if got.shape != expected.shape:
            return f"shape {got.shape}"
        difference = compare(expected, got)
        told = f"max {np.abs(expected - got).max():.1e}, {difference.psnr_db:.0f} dB"
        if "note" in drawn and drawn["note"].item():
            told += f", {drawn['note']}"
        if "image" not in drawn:
            return told
        pixels = to_uint8(expected).astype(int)
        off = np.abs(pixels - drawn["image"].astype(int)).max()
        return f"{told}, image {off} LSB"


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    main()
