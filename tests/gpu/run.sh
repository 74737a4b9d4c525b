#!/usr/bin/env bash
# All tests that need a GPU, on a machine with one, within 8 minutes. See README.md beside this file.
#   tests/gpu/run.sh [--wheels FOLDER] [more arguments of pytest]
set -euo pipefail
if [ "${1-}" = --wheels ]; then
    wheels=$(realpath "${2:?--wheels: expected a folder}")
    shift 2
fi
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PYTHONPATH=$work${PYTHONPATH:+:$PYTHONPATH}
if [ -n "${wheels-}" ]; then # into a folder of their own: the machine's packages stay as they are
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$wheels"/*.whl
    PYTHONPATH=$work/site:$PYTHONPATH
fi
ln -s "$PWD" "$work/stylert" # the repository is the package

# What is installed must work. That torch has CUDA, nobody has to say.
names=$("$python" - <<'PYTHON'
import importlib.metadata

found = {str(d.metadata["Name"]).lower().replace("_", "-") for d in importlib.metadata.distributions()}
names = ["cuda", "torch", "engines"]
names += [name for name in ("tensorrt", "cupy") if any(d.split("-cu")[0] == name for d in found)]
names += ["onnxruntime"] if "onnxruntime-gpu" in found else []
names += ["jax"] if any(d.startswith("jax-cuda") for d in found) else []
print(",".join(names))
PYTHON
)

export CUBLAS_WORKSPACE_CONFIG=:16:8          # the same picture on every stream
export XLA_PYTHON_CLIENT_PREALLOCATE=false    # else JAX takes three quarters of the memory
export PYTHONUNBUFFERED=1
files=$(grep -rl 'mark\.gpu' tests --include='test_*.py' | grep -v '^tests/gpu/')
# The newest NumPy and torch may warn of what ours do not.
# In the end as by Ctrl-C, so that the table is there whatever happens.
timeout --signal=INT --kill-after=20 "${LIMIT:-450}" "$python" -m pytest -q -o filterwarnings=default -p no:cacheprovider \
    -m gpu --stand-in "--require-gpu=$names" tests/gpu $files "$@"
