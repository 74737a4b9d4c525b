#!/usr/bin/env bash
# ONNX Runtime 1.31.1 with its plug-in for WebGPU (onnxruntime-ep-webgpu 0.4.0), on a machine whose only adapter is a
# program on the processor. The plug-in then lists its device as one of the type CPU, where
# ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER is set, and else none. `get_available_providers` names the provider, but a session
# that asks for it by that name, with enable_fallback=0, runs on the processor, without a warning. Only
# `add_provider_for_devices`, by the name of the provider and not by the type of the device, takes it; and
# session.disable_cpu_ep_fallback=1 makes the silent way an error.
# Seen: device type CPU; providers=["WebGpuExecutionProvider"] gives ['CPUExecutionProvider'] and no warning.
# On a machine with a GPU that the plug-in lists, this says CHANGED: it is not what was looked at.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 onnxruntime-ep-webgpu==0.4.0
ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import onnxruntime
import onnxruntime_ep_webgpu
from onnx import TensorProto, helper

NAME = onnxruntime_ep_webgpu.get_ep_name()
value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "neg", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
content = model.SerializeToString()

onnxruntime.set_default_logger_severity(4)
onnxruntime.register_execution_provider_library("w", onnxruntime_ep_webgpu.get_library_path())
types = [d.device.type.name for d in onnxruntime.get_ep_devices() if d.ep_name == NAME]
available = NAME in onnxruntime.get_available_providers()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    by_name = onnxruntime.InferenceSession(content, providers=[NAME], enable_fallback=0)
print(f"devices of {NAME}: {types}; among the available providers: {available}")
print(f"asked for by name: {by_name.get_providers()}, {len(told)} warnings")
strict = onnxruntime.SessionOptions()
strict.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
strict.log_severity_level = 4
try:
    onnxruntime.InferenceSession(content, strict, providers=[NAME], enable_fallback=0)
    refused = False
except Exception as error:
    refused = True
    print(f"with session.disable_cpu_ep_fallback: {' '.join(str(error).split())[:120]}")
as_found = types == ["CPU"] and available and refused and not told
if as_found and by_name.get_providers() == ["CPUExecutionProvider"]:
    print("As found: the provider's name alone means the processor, silently.")
else:
    sys.exit("CHANGED: the device is listed otherwise, or the name alone is no longer the processor.")
PYTHON
