"""ONNX Runtime as it is."""

import sys

import numpy as np
import onnxruntime

graph, feeds, out = sys.argv[1:]
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
given = dict(np.load(feeds))
inputs = {node.name: given[node.name] for node in session.get_inputs()}
img, image = session.run(["img", "image"], inputs)
np.savez(out, img=img, image=image)
