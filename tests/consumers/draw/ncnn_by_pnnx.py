"""ncnn, whose converter pnnx wants fixed shapes and knows no bytes: the graph is cut at img."""

import subprocess
import sys
from pathlib import Path

import ncnn
import numpy as np
import onnx
import onnx.utils

graph, feeds, out = sys.argv[1:]
given = dict(np.load(feeds))
names = [node.name for node in onnx.load(graph).graph.input]
onnx.utils.extract_model(graph, "cut.onnx", names, ["img"])
shapes = ",".join(f"[{','.join(map(str, given[name].shape))}]" for name in names)
pnnx = Path(sys.executable).with_name("pnnx")
done = subprocess.run(
    [pnnx, "cut.onnx", f"inputshape={shapes}", "fp16=0"], capture_output=True, text=True
)
if not Path("cut.ncnn.param").exists():
    raise SystemExit(f"pnnx: {(done.stderr or done.stdout).strip()[-200:]}")
net = ncnn.Net()
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
if net.load_param("cut.ncnn.param") or net.load_model("cut.ncnn.bin"):
    known = {line.split()[0] for line in Path("cut.ncnn.param").read_text().splitlines()[2:]}
    odd = ", ".join(sorted(kind for kind in known if "." in kind))
    raise SystemExit(f"ncnn does not load what pnnx wrote: it has no layer {odd}")
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
