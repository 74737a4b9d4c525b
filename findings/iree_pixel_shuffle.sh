#!/usr/bin/env bash
# IREE 3.13.0 compiles `DepthToSpace` in CRD order, which is PyTorch's pixel_shuffle, wrong for a processor wherever the number of
# channels that it makes is not the length of its blocks: blocks of 2 x 2 are right for two channels, and wrong for one, three (as
# for colours) and four. No error and no warning. DCR order is right, and so is CRD written as Reshape, Transpose, Reshape, which
# is its definition. Networks that end with a pixel shuffle to colours meet it.
# Reports of April 2026 (24179 in IREE's list of issues) call blocks of 2 right and larger ones wrong: they tried two channels.
# Seen: numbers that are all different come back as the same numbers, 9 of 10 or more at other places.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 iree-base-compiler==3.13.0 iree-base-runtime==3.13.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import iree.runtime
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BIN = Path(sys.executable).parent
HEIGHT, WIDTH = 3, 4


def make_nodes(kind: str, channels: int, block: int) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """The nodes that shuffle x to y [1, channels, 3 block, 4 block], and their constants."""
    if kind != "by hand":
        return [helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=block, mode=kind)], {}
    nodes = [
        helper.make_node("Reshape", ["x", "apart"], ["six"]),
        helper.make_node("Transpose", ["six"], ["turned"], perm=[0, 1, 4, 2, 5, 3]),
        helper.make_node("Reshape", ["turned", "together"], ["y"]),
    ]
    apart, together = [1, channels, block, block, HEIGHT, WIDTH], [1, channels, block * HEIGHT, block * WIDTH]
    return nodes, {"apart": np.array(apart), "together": np.array(together)}


def run_iree(kind: str, channels: int, block: int, x: np.ndarray) -> np.ndarray:
    nodes, constants = make_nodes(kind, channels, block)
    graph = helper.make_graph(
        nodes,
        "shuffle",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, block * HEIGHT, block * WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    subprocess.run([BIN / "iree-import-onnx", "m.onnx", "-o", "m.mlir"], check=True)
    target = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
    cpu = "--iree-llvmcpu-target-cpu=host"
    subprocess.run([BIN / "iree-compile", "m.mlir", *target, cpu, "-o", "m.vmfb"], check=True)
    context = iree.runtime.SystemContext(config=iree.runtime.Config("local-task"))
    content = Path("m.vmfb").read_bytes()
    context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, content))
    return np.asarray(context.modules.module["shuffle"](x).to_host())


def shuffle(kind: str, channels: int, block: int, x: np.ndarray) -> np.ndarray:
    """What ONNX says, pixel by pixel."""
    y = np.zeros((1, channels, block * HEIGHT, block * WIDTH), x.dtype)
    for channel in range(channels):
        for row in range(block):
            for column in range(block):
                place = block * row + column
                source = place * channels + channel if kind == "DCR" else block**2 * channel + place
                y[0, channel, row::block, column::block] = x[0, source]
    return y


found = {}
for kind in ("CRD", "DCR", "by hand"):
    for channels, block in ((1, 2), (2, 2), (3, 2), (4, 2), (2, 3), (3, 3)):
        count = channels * block**2
        x = np.arange(count * HEIGHT * WIDTH, dtype=np.float32).reshape(1, count, HEIGHT, WIDTH)
        got, expected = run_iree(kind, channels, block, x), shuffle(kind, channels, block, x)
        assert np.array_equal(np.sort(got, axis=None), x.ravel()), "no number is lost"
        found[kind, channels, block] = np.array_equal(got, expected)
        words = "right" if found[kind, channels, block] else f"WRONG, {np.mean(got != expected):.0%} of the pixels"
        print(f"{kind}, blocks of {block} x {block}, {channels} channels: {words}")
wrong = [key for key, right in found.items() if not right]
if wrong == [("CRD", 1, 2), ("CRD", 3, 2), ("CRD", 4, 2), ("CRD", 2, 3)]:
    print("As found: write it as Reshape, Transpose, Reshape for IREE.")
else:
    sys.exit(f"CHANGED: wrong are {wrong}.")
PYTHON
