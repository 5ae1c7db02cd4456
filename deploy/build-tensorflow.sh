#!/usr/bin/env bash
# Builds what `engine: tensorflow` needs: @tensorflow/tfjs-node, with its binding compiled here against the libtensorflow
# of a current tensorflow wheel. The package's own installer would download libtensorflow 2.9 (CUDA 11.2) instead.
#
#   deploy/build-tensorflow.sh [--gpu] [FOLDER]
#
# FOLDER: where node_modules is (default: this checkout). --gpu: the wheel with CUDA, which needs the CUDA and cuDNN
# libraries of its version where the dynamic loader finds them, and an NVIDIA driver.
# Needs npm, g++, python3 with pip and the headers of the Node that runs (beside its binary, or NODE_INCLUDE=folder),
# 2.5 GB of disk for a moment and 1 GB to stay. Linux x64 or arm64.
set -euo pipefail

tfjs=4.22.0
tensorflow=2.21.0
wheel=tensorflow-cpu
if [ "${1:-}" = --gpu ]; then
  wheel=tensorflow
  shift
fi
[ "$(uname -m)" = aarch64 ] && wheel=tensorflow
folder=$(cd "${1:-$(dirname "$0")/..}" && pwd)

fail() {
  echo "build-tensorflow: $*" >&2
  exit 1
}
for program in npm node g++ python3; do
  command -v "$program" >/dev/null || fail "$program is missing; install it and start again"
done
include=${NODE_INCLUDE:-$(node -p 'require("node:path").resolve(require("node:fs").realpathSync(process.execPath), "../../include/node")')}
[ -f "$include/node_api.h" ] || fail "node_api.h is not in $include; set NODE_INCLUDE to the folder of Node's headers"
napi=$(node -p 'Math.min(8, Number(process.versions.napi))')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "build-tensorflow: installing @tensorflow/tfjs-node $tfjs in $folder, without its own installer"
(cd "$folder" && npm install --no-save --ignore-scripts --no-audit --no-fund "@tensorflow/tfjs-node@$tfjs")
package=$folder/node_modules/@tensorflow/tfjs-node
[ -f "$package/binding/tfjs_binding.cc" ] || fail "$package holds no sources of the binding"

echo "build-tensorflow: fetching $wheel $tensorflow"
python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --dest "$work" "$wheel==$tensorflow"
python3 - "$work" <<'PYTHON'
import glob, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    for name in wheel.namelist():
        library = name.startswith(("tensorflow/libtensorflow_cc.so", "tensorflow/libtensorflow_framework.so"))
        if library or name.startswith("tensorflow/include/") and name.endswith((".h", ".inc")):
            wheel.extract(name, work)
PYTHON
libraries=$work/tensorflow
for library in libtensorflow_cc.so.2 libtensorflow_framework.so.2; do
  [ -f "$libraries/$library" ] || fail "the wheel $wheel $tensorflow does not hold $library"
done

echo "build-tensorflow: compiling the binding"
mkdir -p "$package/deps/lib" "$package/lib/napi-v$napi"
g++ -O2 -fPIC -shared -std=c++17 "-DNAPI_VERSION=$napi" -I "$include" -I "$libraries/include" -I "$package" \
  "$package/binding/tfjs_backend.cc" "$package/binding/tfjs_binding.cc" -o "$work/tfjs_binding.node" \
  -L "$libraries" -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 "-Wl,-rpath,\$ORIGIN/../../deps/lib"
mv "$libraries"/libtensorflow_cc.so.2 "$libraries"/libtensorflow_framework.so.2 "$package/deps/lib/"
mv "$work/tfjs_binding.node" "$package/lib/napi-v$napi/"

cd "$folder"
TF_CPP_MIN_LOG_LEVEL=2 node -e '
  const tf = require("@tensorflow/tfjs-node");
  tf.add([1, 2], [3, 4]).data().then((sum) => {
    if (sum[0] !== 4 || sum[1] !== 6) throw new Error(`1 + 3 is ${sum[0]} here`);
    console.log(`build-tensorflow: it computes, backend ${tf.getBackend()}. Choose it with engine: tensorflow`);
  });
'
