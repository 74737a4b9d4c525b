#!/usr/bin/env bash
# torch 2.13.0 (CPU): a module is often built on the meta device, so that no time is lost on weights that a checkpoint
# overwrites. But the first multiplication there (a scaled torch.randn, an outer product for a filter, torch.eye) is
# done by Python code whose decorator loads torch._dynamo: more modules, and a second or more, for a result without
# numbers. Making tensors there (torch.randn, zeros, ones, full, tensor) loads nothing.
# Seen: after torch.randn no module of torch._dynamo is there; after `* 2.0` hundreds of modules are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch

with torch.device("meta"):
    weight = torch.randn(4, 4)
made = "torch._dynamo" in sys.modules
before, start = len(sys.modules), time.perf_counter()
with torch.device("meta"):
    weight * 2.0
seconds, more = time.perf_counter() - start, len(sys.modules) - before
print(f"torch {torch.__version__}: one multiplication took {seconds:.2f} s and loaded {more} modules")
if not made and "torch._dynamo" in sys.modules and more > 100:
    print("As found: arithmetic on the meta device loads the compiler.")
else:
    sys.exit("CHANGED: the compiler is loaded earlier, or not at all.")
PYTHON
