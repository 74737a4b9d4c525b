"""onnx2torch, which takes the inputs in the order of the graph."""

import sys

import numpy as np
import onnx
import torch

# onnx2torch loads torchvision, whose wheel does not load beside a torch for processors alone.
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from onnx2torch import convert  # noqa: E402

graph, feeds, out = sys.argv[1:]
loaded = onnx.load(graph)
given = dict(np.load(feeds))
inputs = [torch.from_numpy(given[node.name]) for node in loaded.graph.input]
with torch.inference_mode():
    drawn = convert(loaded)(*inputs)
names = [node.name for node in loaded.graph.output]
arrays = dict(zip(names, (x.numpy() for x in drawn), strict=True))
np.savez(out, img=arrays["img"], image=arrays["image"])
