#!/usr/bin/env bash
# Fetch qemu and an arm64 Python with NumPy and ONNX Runtime. All stays in build/portability: nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/build/portability

lacking() {
    echo "make portable: got $1, expected $2." >&2
    exit 1
}
[ "$(uname -m)" = x86_64 ] || lacking "a processor $(uname -m)" "x86_64"
[ "$(. /etc/os-release 2>/dev/null && echo "$ID")" = debian ] || lacking "another system" "Debian, whose packages it takes"

# apt works on lists and a status of its own, so the machine's architectures and packages stay as they are.
# The empty status makes it download everything that a package depends on.
unpack() { # ARCHITECTURE FOLDER PACKAGE...
    local architecture=$1 folder=$2 apt=$work/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    touch "$apt/status"
    local options=(-qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
        -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install --yes --download-only --no-install-recommends "${@:3}"
    for package in "$apt"/cache/archives/*.deb; do
        dpkg --extract "$package" "$folder"
    done
    rm -rf "$apt"
}

rm -rf "$work"/{qemu,arm64}
mkdir -p "$work"/{qemu,arm64}

echo "Fetching qemu"
unpack amd64 "$work/qemu" qemu-user-static
find "$work/qemu" -type f ! -name 'qemu-x86_64*' ! -name 'qemu-aarch64*' -delete # 300 MB of other processors

echo "Fetching Python for arm64"
ln -s usr/lib "$work/arm64/lib" # the loader is sought there
unpack arm64 "$work/arm64" python3 libstdc++6
version=$("$work/qemu/usr/bin/qemu-aarch64-static" -L "$work/arm64" "$work/arm64/usr/bin/python3" \
    -c 'import sys; print("%d.%d" % sys.version_info[:2])')

echo "Fetching NumPy and ONNX Runtime for Python $version on arm64"
.venv/bin/python -m pip install --quiet --constraint constraints.txt --target "$work/arm64/site" --no-deps \
    --only-binary=:all: --implementation cp --python-version "$version" \
    --platform=manylinux{2014,_2_17,_2_27,_2_28}_aarch64 numpy onnxruntime
touch "$work/.ready"
