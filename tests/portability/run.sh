#!/usr/bin/env bash
# Draw on processors that are not there, under qemu, and compare with the official pictures: make portable.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/portability
python=$PWD/.venv/bin/python
qemu=$work/qemu/usr/bin

mkdir -p "$work/import"
ln -sfn "$PWD" "$work/import/stylert"
export PYTHONPATH=$work/import PYTHONDONTWRITEBYTECODE=1
unset OPENBLAS_CORETYPE # it would name kernels of this machine

rm -rf "$work/bundles"
for golden in sg1-tf-32 sg2-hot-64 sg2-skip-32 sg3-t-64; do
    echo "Exporting $golden"
    "$python" cli.py export "tests/goldens/$golden.pkl" --out "$work/bundles/$golden" --verify-seeds 1 >/dev/null
done

failed=()
draw() { # PROCESSOR PYTHON...
    printf '\n%s: ' "$1"
    "${@:2}" tests/portability/draw.py "$work/bundles" tests/goldens || failed+=("$1")
}

draw "This machine" "$python"

# Without what qemu lacks itself, and would warn of.
draw Haswell "$qemu/qemu-x86_64-static" -cpu Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid "$python"
draw Nehalem "$qemu/qemu-x86_64-static" -cpu Nehalem "$python"

# ONNX Runtime reads the processor's number in /proc/cpuinfo, where older qemu shows this machine's. Without one it
# crashes, and with another's it may use instructions that are not there. A file under -L comes before the real one.
mkdir -p "$work/arm64/proc"
export PYTHONPATH=$work/import:$work/arm64/site
for processor in cortex-a72=0xd08 neoverse-n1=0xd0c; do
    for ((i = 0; i < $(getconf _NPROCESSORS_CONF); i++)); do
        printf 'processor\t: %d\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n' "$i"
        printf 'CPU part\t: %s\nCPU revision\t: 3\n\n' "${processor#*=}"
    done >"$work/arm64/proc/cpuinfo"
    draw "${processor%=*}" "$qemu/qemu-aarch64-static" -cpu "${processor%=*}" -L "$work/arm64" "$work/arm64/usr/bin/python3"
done

echo
if ((${#failed[@]})); then
    echo "make portable: FAILED on ${failed[*]}" >&2
    exit 1
fi
echo "The pictures are right on all of these processors."
