#!/usr/bin/env bash
# Polygraphy 0.53.6 builds float32 engines in float32: its CreateConfig clears the flag TF32, which TensorRT's builder
# sets, and says so. For TensorRT-RTX, whose builder sets it, too, there is CreateConfigRTX, which leaves it and takes no
# tf32=; the command line drops --tf32 there. So the same float32 graph multiplies numbers of 10 bits on an RTX card alone,
# and a comparison that passes with TensorRT fails there for no fault of the graph. Cure: PostprocessConfig.
# Seen, in the builder's configuration, which needs no GPU: off after CreateConfig, on after CreateConfigRTX.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 polygraphy==0.53.6 tensorrt-rtx==1.7.1.116
POLYGRAPHY_USE_TENSORRT_RTX=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import polygraphy
import tensorrt_rtx
from polygraphy.backend.tensorrt_rtx import CreateConfigRTX
from polygraphy.backend.trt import CreateConfig, CreateNetwork, PostprocessConfig

TF32 = tensorrt_rtx.BuilderFlag.TF32
builder, network = CreateNetwork()()
rtx = CreateConfigRTX(compute_capabilities=[(8, 9)])
cured = PostprocessConfig(rtx, lambda builder, network, config: config.clear_flag(TF32))
made = {
    "the builder alone": builder.create_builder_config(),
    "CreateConfig": CreateConfig(profiles=[])(builder, None),
    "CreateConfigRTX": rtx(builder, network),
    "CreateConfigRTX with PostprocessConfig": cured(builder, network),
}
on = {name: config.get_flag(TF32) for name, config in made.items()}
print(f"polygraphy {polygraphy.__version__}, tensorrt_rtx {tensorrt_rtx.__version__}")
for name, is_on in on.items():
    print(f"TF32 is {'on ' if is_on else 'off'} in the configuration of {name}")
try:
    CreateConfigRTX(tf32=False)
    sys.exit("CHANGED: CreateConfigRTX takes tf32=.")
except TypeError as error:
    print(f"CreateConfigRTX(tf32=False): {error}")
if list(on.values()) == [True, False, True, False]:
    print("As found: for TensorRT-RTX, Polygraphy leaves TF32 on.")
else:
    sys.exit("CHANGED: CreateConfigRTX clears TF32, or the builder does not set it.")
PYTHON
