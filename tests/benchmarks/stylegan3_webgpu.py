"""StyleGAN3's graph for GPUs on WebGPU's software adapter, against the one for processors.

    python tests/benchmarks/stylegan3_webgpu.py docs/results/stylegan3-webgpu.json --before 35c823e

Both graphs draw the same picture in turns, with nothing on the processor but the adapter itself,
and the processor time of all threads is taken; with --before so does the graph that an older commit
exported. Then each convolution runs by itself, in the layout
with the channels last, in which the provider runs them: what the dense ones take, which both graphs
have, and what those of the filters. Times are of a program on the processor: they say nothing of a
GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.backends.onnxruntime_package import import_onnxruntime
from stylert.runtime.backends.webgpu.plug_in import add_provider, choose_adapter, quiet
from stylert.runtime.bundle import MANIFEST, sealed
from stylert.runtime.packages import installed_version
from stylert.tests.loading import load_file

GOLDENS = load_file(Path(__file__).parent / "webgpu_goldens.py")
NETWORKS = ("sg3-t-64", "sg3-r-64")
GRAPHS = {"for processors": "synthesis", "for GPUs": "synthesis.gpu"}
NHWC = "com.ms.internal.nhwc"  # domain of the provider's own convolutions
OPSET = 17
ROOT = Path(__file__).parents[2]
EXPORT = """
import sys
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
export_bundle(read_checkpoint(sys.argv[1]), sys.argv[2], verify_seeds=0, half="none")
"""


def export_before(commit: str, checkpoint: Path, like: Path, folder: Path) -> Path:
    """A copy of the bundle `like`, with the synthesis graph that an older commit exports."""
    code, old, out = (folder / name for name in ("code", "old", "before"))
    (code / "stylert").mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(code / "stylert")], check=True, input=archive.stdout)
    command = [sys.executable, "-c", EXPORT, str(checkpoint), str(old)]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(code)})
    shutil.copytree(like, out)
    name = "synthesis.onnx"
    shutil.copy(old / name, out / name)
    manifest, older = (json.loads((f / MANIFEST).read_text("utf-8")) for f in (out, old))
    manifest["files"][name] = older["files"][name]
    (out / MANIFEST).write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    return out


def time_in_turns(bundles: dict[str, Path], repeats: int) -> dict[str, Any]:
    """Processor time of a picture of each graph, and how far that for GPUs is from the others."""
    options: dict[str, Any] = {"provider": "webgpu", "device": "software"}
    opened = {name: stylert.open(path, **options) for name, path in bundles.items()}
    seconds, drawn = defaultdict(list), {}
    for repeat in range(repeats + 1):  # the first time shaders are compiled
        for name, generator in opened.items():
            start = time.process_time()
            drawn[name] = generator.generate([0], output="img")
            if repeat:
                seconds[name].append(time.process_time() - start)
    for generator in opened.values():
        generator.close()
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    others = [name for name in bundles if name != "for GPUs"]
    return {
        "cpu_seconds_a_picture": medians,
        "ratio": {name: medians["for GPUs"] / medians[name] for name in others},
        "max_abs": {name: float(np.abs(drawn["for GPUs"] - drawn[name]).max()) for name in others},
    }


def profile_convolutions(path: Path, repeats: int) -> dict[str, Any]:
    """How many convolutions there are, their products, and their processor time by themselves."""
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    weights = {tensor.name: tensor for tensor in graph.initializer}
    alike: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Conv":
            attributes = sorted(str(attribute) for attribute in node.attribute)
            weight = list(weights[node.input[1]].dims)
            alike[f"{shapes[node.input[0]]} {weight} {attributes}"].append(node)
    kinds: dict[str, dict[str, float]] = {}
    for nodes in alike.values():
        weight = numpy_helper.to_array(weights[nodes[0].input[1]])
        into, out = (shapes[name] for name in (nodes[0].input[0], nodes[0].output[0]))
        row = kinds.setdefault(
            "filters" if weight.shape[1] < into[1] else "dense",
            {"convolutions": 0, "products": 0, "cpu_seconds": 0},
        )
        row["convolutions"] += len(nodes)
        row["products"] += len(nodes) * int(np.prod(out) * np.prod(weight.shape[1:]))
        row["cpu_seconds"] += len(nodes) * _time_alone(nodes[0], weight, into, out, repeats)
    return kinds


def _time_alone(
    node: onnx.NodeProto, weight: np.ndarray, into: list[int], out: list[int], repeats: int
) -> float:
    last = [0, 2, 3, 1]  # NCHW to NHWC
    shapes = {"x": [into[axis] for axis in last], "y": [out[axis] for axis in last]}
    x, y = (helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items())
    alone = helper.make_node("Conv", ["x", "w"], ["y"], domain=NHWC)
    alone.attribute.extend(node.attribute)
    graph = helper.make_graph([alone], "alone", [x], [y], [numpy_helper.from_array(weight, "w")])
    opsets = [helper.make_opsetid(domain, OPSET) for domain in ("", NHWC)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with quiet(ort):
        add_provider(ort, options)
        session = ort.InferenceSession(model.SerializeToString(), options, enable_fallback=0)
    feeds = {"x": np.ones(shapes["x"], np.float32)}
    taken = []
    for _ in range(repeats + 1):
        start = time.process_time()
        session.run(["y"], feeds)
        taken.append(time.process_time() - start)
    return min(taken[1:])


def main() -> None:
    """Export, draw, profile, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", metavar="COMMIT", help="time what it exports, too")
    parser.add_argument("--only", nargs="*", default=NETWORKS, help="keep the rows of the others")
    arguments = parser.parse_args()
    choose_adapter(import_onnxruntime(), "software")
    rows = {}
    if arguments.out.is_file():
        rows = {row["network"]: row for row in json.loads(arguments.out.read_text())["networks"]}
    for network in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            whole, other = (Path(folder) / name for name in ("whole", "other"))
            path = GOLDENS.CHECKPOINTS[network]
            export_bundle(read_checkpoint(str(path)), whole, verify_seeds=0, half="none")
            shutil.copytree(whole, other)
            GOLDENS._forget_shape_for_gpus(other)
            bundles = {"for processors": other, "for GPUs": whole}
            if arguments.before:
                older = export_before(arguments.before, path, other, Path(folder))
                bundles = {f"exported by {arguments.before}": older, **bundles}
            row = {"network": network, **time_in_turns(bundles, arguments.repeats)}
            row["convolutions_alone"] = {
                name: profile_convolutions(whole / f"{graph}.onnx", arguments.repeats)
                for name, graph in GRAPHS.items()
            }
        rows[network] = row
        print(json.dumps(row), flush=True)
        packages = ("onnxruntime", "onnxruntime-ep-webgpu")
        results = {
            "schema": 1,
            "subject": "StyleGAN3 on WebGPU's software adapter (SwiftShader): processor time of a "
            "picture of each graph, and of their convolutions, each by itself",
            "machine": describe_machine(),
            "versions": {package: installed_version(package) for package in packages},
            "networks": [rows[name] for name in NETWORKS if name in rows],
        }
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
