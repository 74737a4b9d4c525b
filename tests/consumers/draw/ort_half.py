"""The float16 converter that comes with ONNX Runtime, drawn by ONNX Runtime; and onnx.checker."""

import sys

import numpy as np
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

graph, feeds, out = sys.argv[1:]
half = convert_float_to_float16(onnx.load(graph), keep_io_types=True)
onnx.save(half, graph + ".half")
try:
    onnx.checker.check_model(graph + ".half", full_check=True)
    note = ""
except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
    note = "onnx.checker refuses it"
session = onnxruntime.InferenceSession(graph + ".half", providers=["CPUExecutionProvider"])
given = dict(np.load(feeds))
inputs = {node.name: given[node.name] for node in session.get_inputs()}
img, image = session.run(["img", "image"], inputs)
np.savez(out, img=img, image=image, note=note)
