#!/usr/bin/env bash
# safetensors 0.8.0 writes a NumPy array as it lies in memory, under the shape that the array shows: what is no C-ordered
# array (a transposed one, one in Fortran's order, every second column) comes back with its numbers at other places. The
# file is valid, and nothing is said. The same call with a PyTorch tensor raises an error instead.
# Seen: [[0, 1, 2], [3, 4, 5]] in Fortran's order comes back as [[0, 3, 1], [4, 2, 5]].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 safetensors==0.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
wide = np.repeat(numbers, 2, axis=1)
ARRAYS = {
    "C order": numbers,
    "Fortran's order": np.asfortranarray(numbers),
    "transposed": np.ascontiguousarray(numbers.T).T,
    "every second column": wide[:, ::2],
}

back = {name: load(save({"x": array}))["x"] for name, array in ARRAYS.items()}
for name, array in ARRAYS.items():
    assert np.array_equal(array, numbers), name
    print(f"safetensors {safetensors.__version__}, {name}: {array.tolist()} -> {back[name].tolist()}")

same = [name for name in ARRAYS if np.array_equal(back[name], numbers)]
if same == ["C order"]:
    print("As found: make a copy with numpy.ascontiguousarray first.")
else:
    sys.exit(f"CHANGED: these come back as they were: {', '.join(same)}.")
PYTHON
