"""ncnn, whose converter pnnx wants fixed shapes and knows no bytes: the graph is cut at img."""

import os
import subprocess
import sys
from pathlib import Path

import ncnn
import numpy as np
import onnx
import onnx.utils
from onnx import helper, numpy_helper


def put_batch_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make [L, N, 1, I] by the products of L layers [N, L, 1, I]; the picture is the same.

    Where the batch is not the first axis, pnnx writes other rows, or what ncnn lacks.
    """
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in values}
    ranks |= {array.name: len(array.dims) for array in model.graph.initializer}
    one = numpy_helper.from_array(np.array([1]), "axis_of_layers")
    model.graph.initializer.append(one)
    nodes = []
    for node in model.graph.node:
        ours = node.name.startswith("styles/")
        if node.name == "styles/rows":  # [N, num_ws, w_dim], turned to [num_ws, N, w_dim]
            node = helper.make_node("Identity", node.input, node.output, node.name)
        elif node.op_type == "Gather" and (ours or node.input[0].startswith("styles/")):
            node.attribute[0].i = 1
        elif ours and node.op_type == "Slice":
            node.input[3] = one.name
        elif ours and node.op_type in ("MatMul", "Add", "Div"):
            i = 0 if node.op_type == "Div" else 1  # the constant, [L, 1, ...] to [L, ...]
            if ranks[node.input[i]] == 4:
                squeezed = f"{node.name}/squeezed"
                nodes.append(helper.make_node("Squeeze", [node.input[i], one.name], [squeezed]))
                node.input[i] = squeezed
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    return model


graph, feeds, out = sys.argv[1:]
given = dict(np.load(feeds))
names = [node.name for node in onnx.load(graph).graph.input]
onnx.save(put_batch_first(onnx.load(graph)), "first.onnx")
onnx.utils.extract_model("first.onnx", "cut.onnx", names, ["img"])
shapes = ",".join(f"[{','.join(map(str, given[name].shape))}]" for name in names)
pnnx = Path(sys.executable).with_name("pnnx")
done = subprocess.run(
    [pnnx, "cut.onnx", f"inputshape={shapes}", "fp16=0"], capture_output=True, text=True
)
if not Path("cut.ncnn.param").exists():
    raise SystemExit(f"pnnx: {(done.stderr or done.stdout).strip()[-200:]}")
net = ncnn.Net()
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
said, errors = Path("said.txt"), os.dup(2)
os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)  # ncnn tells there alone what it lacks
failed = net.load_param("cut.ncnn.param") or net.load_model("cut.ncnn.bin")
os.dup2(errors, 2)
if failed:
    raise SystemExit(f"ncnn does not load what pnnx wrote: {said.read_text().splitlines()[0]}")
extractor = net.create_extractor()
for i, name in enumerate(names):
    array = np.ascontiguousarray(given[name])
    extractor.input(f"in{i}", ncnn.Mat(array, batch_index=0).clone())
status, img = extractor.extract("out0")
if status:
    raise SystemExit(f"ncnn: extract gives {status}")
count = len(given["ws"])
pictures = [np.array(img.batch(n) if count > 1 else img) for n in range(count)]
np.savez(out, img=np.stack(pictures).reshape(count, *pictures[0].shape[-3:]))
