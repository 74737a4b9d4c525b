#!/usr/bin/env bash
# `import openvino` of OpenVINO 2026.4.1 reports itself: a package that comes with it sends an event to a service for
# statistics of the web, from a process of its own, before anything was asked for or agreed to. So a program that
# draws pictures on a machine of a customer makes connections that its author never wrote, and in a closed network
# looks up a foreign name at each start. Where openvino_telemetry cannot be imported, OpenVINO works without it.
# Nothing leaves this machine here: names are not looked up, only written down.
# Seen: one foreign name is looked up, and none where the other package is kept out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 openvino==2026.4.1 openvino-telemetry==2025.2.0
cat >"$folder/names.py" <<'PYTHON'
"""Import OpenVINO, and print the names that are looked up within some seconds."""

import socket
import sys
import time
from pathlib import Path

NAMES = Path(sys.argv[2])  # a file, because it is a child process that looks them up


def write_down(host: str, *arguments: object, **options: object) -> None:
    with NAMES.open("a") as names:
        names.write(f"{host}\n")
    raise socket.gaierror("names are not looked up here")


NAMES.touch()
socket.getaddrinfo = write_down
if sys.argv[1] == "without":
    sys.modules["openvino_telemetry"] = None
import openvino

waited = 0
while not NAMES.stat().st_size and waited < 50:
    time.sleep(0.1)
    waited += 1
print(openvino.__version__.partition("-")[0], *sorted(set(NAMES.read_text().split())))
PYTHON
unset CI TF_BUILD JENKINS_URL # with these it is silent
export HOME=$folder # it keeps a number of the user's there
with=$("$folder/venv/bin/python" "$folder/names.py" with "$folder/with")
without=$("$folder/venv/bin/python" "$folder/names.py" without "$folder/without")
echo "openvino $with; without openvino_telemetry: $without"
if [[ $with == *" "* && $without != *" "* ]]; then
    echo "As found: import it as if openvino_telemetry were absent."
else
    echo "CHANGED: it looks up other names now, or none." >&2
    exit 1
fi
