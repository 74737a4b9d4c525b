"""Which other tools draw our ONNX files right: each in a venv of its own, on copies of the files.

    python tests/consumers/compare.py --work /tmp/consumers                # all, some minutes
    python tests/consumers/compare.py --work /tmp/consumers --only ncnn

It is no part of `make test`: it fetches some 900 MB of packages, pinned below, into WORK. What it
finds goes to docs/results/consumers.json, and from there into the table of docs/backends.md; rows
of tools that were not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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
KINDS = {"demo": "StyleGAN2", "sg3-t-64": "StyleGAN3"}
NETWORKS = {
    "demo": ROOT / "examples" / "demo.safetensors",
    "sg3-t-64": ROOT / "tests" / "goldens" / "sg3-t-64.pkl",
}
# Of every network: its graph, the same with small weights, that of half precision, and for GPUs.
FILES = {
    "fp32": ("fp32", "synthesis.onnx"),
    "int8 weights": ("int8", "synthesis.onnx"),
    "fp16": ("fp32", "synthesis.fp16.onnx"),
    "gpu": ("fp32", "synthesis.gpu.onnx"),  # StyleGAN3 alone has it
}
CASES = {"1 picture": (1, 1), "4 pictures": (4, 4), "4, shared noise": (4, 1)}  # N, M


class _NotInstalledError(Exception):
    """A tool cannot be installed here, and why."""


@dataclass(frozen=True)
class Consumer:
    """A tool that reads ONNX files.

    Attributes:
        packages: what is installed for it, with pip or, for .mjs, with npm.
        program: of the folder draw: `program GRAPH FEEDS.npz OUT.npz`.
        note: what to know of it, for the table.
        from_npm: what a program in Python needs from npm.
        option: goes behind the program's other arguments.
        python: the oldest that it runs on.
    """

    packages: tuple[str, ...]
    program: str
    note: str = ""
    from_npm: tuple[str, ...] = ()
    option: str = ""
    python: tuple[int, int] = (3, 10)


CONSUMERS = {
    "ONNX Runtime 1.32.0": Consumer(
        ("onnxruntime==1.32.0", "numpy==2.4.6"),
        "onnx_runtime.py",
        "it is what StyleRT draws with",
    ),
    "OpenVINO 2026.4.1": Consumer(
        ("openvino==2026.4.1", "numpy==2.4.6"),
        "open_vino.py",
        "ask for `INFERENCE_PRECISION_HINT=f32`; on processors with bfloat16 it takes that by "
        "default",
    ),
    "onnxruntime-web 1.30.0 (WASM, in Node)": Consumer(
        ("onnxruntime-web@1.30.0",),
        "ort_web.mjs",
        "for a download take `--weights int8` or `int16`: float32 is computed either way",
    ),
    "onnxruntime-web 1.30.0 (WASM, in Chromium)": Consumer(
        ("playwright==1.65.2", "numpy==2.4.6"),
        "chromium.py",
        "[`stylert web`](browser.md) makes a site of it",
        ("onnxruntime-web@1.30.0",),
        "wasm",
    ),
    "onnxruntime-web 1.30.0 (WebGPU, in Chromium, on SwiftShader)": Consumer(
        ("playwright==1.65.2", "numpy==2.4.6"),
        "chromium.py",
        "SwiftShader is a program on the processor, without half precision; nothing was left to "
        "the processor itself, which has to unpack integers",
        ("onnxruntime-web@1.30.0",),
        "webgpu",
    ),
    "onnx2torch 1.5.15, torch 2.13.0": Consumer(
        ("onnx2torch==1.5.15", "torch==2.13.0"),
        "onnx_to_torch.py",
        "of StyleGAN3 give it `synthesis.gpu.onnx`: it takes no weights that are stored small, and "
        "no DepthToSpace in DCR order",
    ),
    "ONNX Runtime's half converter": Consumer(
        ("onnxruntime==1.32.0", "onnx==1.19.1", "sympy==1.14.0"),
        "ort_half.py",
        "onnx.checker refuses what it writes (nodes out of order); ONNX Runtime draws it",
    ),
    "onnxconverter-common 1.16.0, to half": Consumer(
        ("onnxconverter-common==1.16.0", "onnxruntime==1.32.0", "onnx==1.19.1"),
        "common_half.py",
        "of small weights it writes a file that ONNX Runtime does not load",
    ),
    "ncnn 1.0.20261020 by pnnx 20261020": Consumer(
        ("pnnx==20261020", "ncnn==1.0.20261020", "onnx==1.19.1", "torch==2.13.0"),
        "ncnn_by_pnnx.py",
        "the styles are given the batch as their first axis before (`put_batch_first` of "
        "[the program](../tests/consumers/draw/ncnn_by_pnnx.py)), cut at `img`; else pnnx writes "
        "`torch.unbind`, which ncnn lacks, and ends without an error. Look at the result of "
        "`load_param`, and feed every input with `batch_index=0`",
    ),
    "LiteRT by onnx2tf 2.6.9": Consumer(
        ("onnx2tf==2.6.9", "ai-edge-litert==2.1.2"),
        "lite_rt.py",
        "only as told below. **It writes into the file that it is given**",
        python=(3, 12),
    ),
}
RESULTS = ROOT / "docs" / "results" / "consumers.json"
DOCUMENT = ROOT / "docs" / "backends.md"
FIRST, LAST = "<!-- table -->", "<!-- end of the table -->"
WRONG = 30  # dB, and less: that is another picture, not a rounded one
RIGHT = 1e-4  # the largest difference of a picture that is right, as in the proof


def main() -> None:
    """Compare all, or those that were asked for, and write the table."""
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
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, consumer in chosen.items():
        runner: list[str] | str  # or why there is none
        try:
            runner = _install(given.work / consumer.program, consumer)
        except _NotInstalledError as error:
            runner = str(error)
        for network, cases in scenes.items():
            for file in FILES:
                if not _find(given.work, network, file).exists():
                    continue
                row = rows.setdefault(name, {}).setdefault(network, {})
                row[file] = _judge(given.work, runner, consumer, network, file, cases)
                print(f"| {name} | {network}, {file} | {row[file]} |", flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(FIRST)
        after = rest.partition(LAST)[2]
        text = f"{before}{FIRST}\n\n{make_table(rows)}\n\n{LAST}{after}"
        DOCUMENT.write_text(text, encoding="utf-8")


def make_table(rows: dict[str, Any]) -> str:
    """What was found, as a table of Markdown: a row for each tool."""
    heads = ["tool", "`synthesis.onnx`", "`--weights int8`", "`synthesis.fp16.onnx`"]
    heads += ["`synthesis.gpu.onnx` of StyleGAN3", "what to know"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, consumer in CONSUMERS.items():
        if name in rows:
            cells = [_tell_file(rows[name], file) for file in FILES]
            lines.append(f"| {name} | {' | '.join(cells)} | {consumer.note} |")
    return "\n".join(lines)


def _tell_file(row: dict[str, Any], file: str) -> str:
    """A cell: what both networks have in common, or each of them."""
    found = {network: row[network][file] for network in NETWORKS if file in row[network]}
    told = {network: _tell_cases(cases) for network, cases in found.items()}
    of_all = [case for cases in found.values() for case in cases.values()]
    if len({words.partition(" ")[0] for words in told.values()}) == 1:
        return _tell_cases(dict(enumerate(of_all)))
    return "; ".join(f"{KINDS[network]} {words}" for network, words in told.items())


def _tell_cases(cases: dict[Any, dict[str, Any]]) -> str:
    failed = {case["fails"] for case in cases.values() if "fails" in case}
    if failed:
        return f"fails: {min(failed)}".replace("|", "/")
    most = max(case["max_abs"] for case in cases.values())
    if not most:
        return "right: equal"
    if most <= RIGHT:
        return f"right: max {most:.0e}".replace("e-0", "e-")
    least, best = (f(case["psnr_db"] for case in cases.values()) for f in (min, max))
    if least < WRONG:
        return f"**wrong**: max {most:.1g}"
    return f"{least:.0f} dB" if round(least) == round(best) else f"{least:.0f} to {best:.0f} dB"


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
    """A venv, or for Node a folder, with the packages; the command that runs programs in it.

    Raises:
        _NotInstalledError: it cannot be installed here.
    """
    program = str(HERE / "draw" / consumer.program)
    if consumer.program.endswith(".mjs"):
        folder.mkdir(exist_ok=True)
        _call("npm", "install", "--prefix", str(folder), "--ignore-scripts", *consumer.packages)
        copy = shutil.copy(program, folder)  # Node looks for packages beside the program
        return ["node", str(copy)]
    if not (folder / "bin" / "python").exists():
        _call(_find_python(consumer.python), "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    _call(python, "-m", "pip", "install", "--quiet", *consumer.packages)
    if consumer.from_npm:
        _call("npm", "install", "--prefix", str(folder), "--ignore-scripts", *consumer.from_npm)
    return [python, program]


def _find_python(least: tuple[int, int]) -> str:
    """This Python, or one on the path that is new enough."""
    if sys.version_info >= least:
        return sys.executable
    found = (shutil.which(f"python3.{minor}") for minor in range(least[1], least[1] + 4))
    path = next(filter(None, found), None)
    if path is None:
        raise _NotInstalledError(f"needs Python 3.{least[1]}, which is not here")
    return path


def _find(work: Path, network: str, file: str) -> Path:
    weights, name = FILES[file]
    return work / network / weights / name


def _judge(
    work: Path,
    runner: list[str] | str,
    consumer: Consumer,
    network: str,
    file: str,
    cases: dict[str, Path],
) -> dict[str, dict[str, Any]]:
    """What a consumer makes of a file in each case: figures, or why it fails."""
    weights, _ = FILES[file]
    source, found = _find(work, network, file), dict[str, dict[str, Any]]()
    for case in CASES:
        feeds = cases.get(f"{weights}/{case}")
        if feeds is None:
            continue
        if isinstance(runner, str):
            found[case] = {"fails": runner}
            continue
        copy = work / "copies" / consumer.program
        shutil.rmtree(copy, ignore_errors=True)  # converters write beside, and into, what they read
        copy.mkdir(parents=True)
        graph = copy / "synthesis.onnx"
        onnx.save(onnx.load(source), graph)  # as one file: that for GPUs has its weights elsewhere
        given = graph.read_bytes()
        out = copy / "out.npz"
        command = [*runner, str(graph), str(feeds), str(out), *filter(None, [consumer.option])]
        done = subprocess.run(
            command, cwd=copy, env=_activate(runner), capture_output=True, text=True
        )
        if done.returncode or not out.exists():
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
            found[case] = {"fails": lines[-1].replace(str(copy), "").strip()[:140]}
        else:
            found[case] = _measure(feeds, out)
        if graph.read_bytes() != given:
            found[case]["rewrites_its_input"] = True
    return found


def _activate(runner: list[str]) -> dict[str, str]:
    """A program's environment: onnx2tf does not find its onnxsim, and then draws wrong, without."""
    folder = Path(shutil.which(runner[0]) or runner[0]).parent
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def _measure(feeds: Path, out: Path) -> dict[str, Any]:
    with np.load(feeds) as given, np.load(out) as drawn:
        expected, got = given["expected"], drawn["img"].astype(np.float32)
        if got.shape != expected.shape:
            return {"fails": f"shape {got.shape}"}
        difference = compare(expected, got)
        told = difference.to_json()
        if "note" in drawn and drawn["note"].item():
            told["note"] = str(drawn["note"])
        if "image" in drawn:
            pixels = to_uint8(expected).astype(int)
            told["steps"] = int(np.abs(pixels - drawn["image"].astype(int)).max())
        return told


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        raise _NotInstalledError(f"{' '.join(command[:4])} failed: {last[-100:]}")


if __name__ == "__main__":
    main()
