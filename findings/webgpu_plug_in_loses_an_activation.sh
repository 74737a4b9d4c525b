#!/usr/bin/env bash
# ONNX Runtime 1.31.1 with its plug-in for WebGPU (onnxruntime-ep-webgpu 0.4.0) draws `Conv`, `LeakyRelu`, `Clip` as if the
# LeakyRelu were not there, and `Conv`, `LeakyRelu`, `LeakyRelu` wrong, too. Both activations are taken into the convolution,
# which has room for one. No error, no warning; a graph with one activation is right, and with Min and Max in place of Clip.
# Generators that clamp what a leaky ReLU gives, as StyleGAN2 and StyleGAN3 with conv_clamp do, meet it. ONNX Runtime 1.32.0
# with the same plug-in draws all of them right.
# Seen on the software adapter of Debian's Chromium (the packages chromium and libvulkan1, which this needs unless
# VK_DRIVER_FILES names another driver): off by several units where the processor's and NumPy's numbers agree to 1e-5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export VK_DRIVER_FILES=${VK_DRIVER_FILES:-/usr/lib/chromium/vk_swiftshader_icd.json}
[ -e "$VK_DRIVER_FILES" ] || { echo "There is no $VK_DRIVER_FILES: install chromium and libvulkan1." >&2; exit 2; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 onnxruntime-ep-webgpu==0.4.0
ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import onnxruntime_ep_webgpu
from onnx import NodeProto, TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
X = random.normal(size=(1, 4, 12, 12)).astype(np.float32)
CONSTANTS = {"w": random.normal(size=(16, 4, 3, 3)), "low": np.float32(-1000), "high": np.float32(1000)}
LEAKY = ("LeakyRelu", [], {"alpha": 0.2})
CLIP = ("Clip", ["low", "high"], {})
MAX, MIN = ("Max", ["low"], {}), ("Min", ["high"], {})
CHAINS = {
    "LeakyRelu": [LEAKY],
    "Clip": [CLIP],
    "LeakyRelu, Max, Min": [LEAKY, MAX, MIN],
    "LeakyRelu, Clip": [LEAKY, CLIP],
    "LeakyRelu, LeakyRelu": [LEAKY, LEAKY],
}

onnxruntime.set_default_logger_severity(4)
onnxruntime.register_execution_provider_library("w", onnxruntime_ep_webgpu.get_library_path())
DEVICES = [d for d in onnxruntime.get_ep_devices() if d.ep_name == onnxruntime_ep_webgpu.get_ep_name()]
if not DEVICES:
    sys.exit("The plug-in finds no adapter here.")


def make_model(chain: list[tuple[str, list[str], dict]]) -> bytes:
    """A convolution of x with these nodes behind it."""
    nodes: list[NodeProto] = [helper.make_node("Conv", ["x", "w"], ["t0"], kernel_shape=[3, 3])]
    for place, (kind, inputs, attributes) in enumerate(chain):
        nodes.append(helper.make_node(kind, [f"t{place}", *inputs], [f"t{place + 1}"], **attributes))
    nodes[-1].output[0] = "y"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in
            (("x", X.shape), ("y", (1, 16, 10, 10)))]
    constants = [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in CONSTANTS.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def run_on_adapter(content: bytes) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_provider_for_devices(DEVICES[:1], {})
    return onnxruntime.InferenceSession(content, options).run(None, {"x": X})[0]


def run_on_processor(content: bytes) -> np.ndarray:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


off = {}
for name, chain in CHAINS.items():
    content = make_model(chain)
    off[name] = float(np.abs(run_on_adapter(content) - run_on_processor(content)).max())
    print(f"Conv, {name}: adapter and processor differ by {off[name]:.1e}")
right, wrong = list(off.values())[:3], list(off.values())[3:]
if max(right) < 1e-4 and min(wrong) > 0.1:
    print("As found: two activations behind a convolution, and one is lost.")
else:
    sys.exit("CHANGED: other chains are right, or wrong.")
PYTHON
