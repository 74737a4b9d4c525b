#!/usr/bin/env bash
# ONNX Runtime 1.31.1 of PyPI for Linux: `import onnxruntime`, with no session made, writes an identifier of the machine's
# user (`deviceid`) and a database of events to `Microsoft/DeveloperTools/.onnxruntime` of the user's cache folder. So a
# program that ships it writes there, too, and a cache folder that is read from several machines shares one identifier.
# `disable_telemetry_events()`, which Python has for it, can only be called when both are there. The variable
# ORT_DISABLE_TELEMETRY=1 before the import prevents both. Within 12 seconds of the import the process also asked for the
# address of mobile.events.data.microsoft.com (seen with strace; not looked at here, as it needs a name server).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnxruntime==1.31.1

# import_and_list NAME [VARIABLE=VALUE] CODE: the files in a new cache folder after this code has run.
import_and_list() {
    local name=$1 code=${*: -1} variables=("${@:2:$#-2}")
    mkdir "$folder/$name"
    env -u ORT_DISABLE_TELEMETRY XDG_CACHE_HOME="$folder/$name" HOME="$folder/$name" ${variables[@]+"${variables[@]}"} \
        "$folder/venv/bin/python" -c "$code"
    (cd "$folder/$name" && find . -type f -printf '%f\n' | sort | tr '\n' ' ')
}

plain=$(import_and_list plain "import onnxruntime")
late=$(import_and_list late "import onnxruntime; onnxruntime.disable_telemetry_events()")
early=$(import_and_list early ORT_DISABLE_TELEMETRY=1 "import onnxruntime")
echo "onnxruntime 1.31.1, import alone:                      ${plain:-nothing}"
echo "onnxruntime 1.31.1, then disable_telemetry_events():   ${late:-nothing}"
echo "onnxruntime 1.31.1, ORT_DISABLE_TELEMETRY=1 before it: ${early:-nothing}"

if [[ $plain == *deviceid*onnxruntime.db* && $late == *deviceid* && -z $early ]]; then
    echo "As found: set ORT_DISABLE_TELEMETRY=1 before the import."
else
    echo "CHANGED: other files are written now." >&2
    exit 1
fi
