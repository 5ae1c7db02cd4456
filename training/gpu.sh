#!/usr/bin/env bash
# Trains on the NVIDIA GPU of a Linux x64 machine that has its driver, npm and Python with pip, and nothing else:
#   training/gpu.sh MINUTES OUT [options of the reference command, such as --data DIR --motion DIR]
# Installs what is needed (CUDA's libraries into OUT/cuda), checks the GPU against the CPU, times steps, and runs the
# reference command for so many minutes of training. OUT gets log.txt, runs/ (checkpoints, curves), models/ and report/.
# The same command goes on where it was interrupted.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
minutes=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
from=$PWD
cd "$(dirname "$0")/.."
exec > >(tee -a "$out/log.txt") 2>&1
fail() { echo "$1"; exit 1; }

[ -n "$(ls /proc/driver/nvidia/gpus /dev/nvidia[0-9]* 2>/dev/null)" ] || fail 'no NVIDIA GPU: its driver shows none'
recent='const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
if ! node -e "$recent" 2>/dev/null; then
  npm install --no-audit --no-fund --prefix "$out/node" node@22
  export PATH="$out/node/node_modules/node/bin:$PATH"
fi
[ -d node_modules/onnxruntime-node ] || npm ci --no-audit --no-fund
npm run build

# The wheel of the same version as onnxruntime-node names the CUDA libraries that it was built for.
version=$(node -p "require('onnxruntime-node/package.json').version")
capi=$out/cuda/onnxruntime/capi
if [ ! -e "$out/cuda/$version.complete" ]; then
  python3 -m pip --version || fail 'python3 with pip is needed to install the CUDA libraries'
  rm -rf "$out/cuda"
  python3 -m pip install --only-binary :all: --target "$out/cuda" "onnxruntime-gpu[cuda,cudnn]==$version"
  touch "$out/cuda/$version.complete"
fi
cp "$capi"/libonnxruntime_providers_{shared,cuda}.so node_modules/onnxruntime-node/bin/napi-v6/linux/x64/
libraries=$(find "$out/cuda/nvidia" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

echo 'a few steps on the GPU and on the CPU:'
trial=$(node dist/training/train/device-trial.js cuda 0) || fail 'the trial of the GPU ended its process'
echo "$trial"
[[ $trial == *'"ok":true'* ]] || fail "the GPU does not work: is its driver new enough for these CUDA libraries ($(ls -d "$out"/cuda/nvidia_cu*_runtime*.dist-info "$out"/cuda/nvidia_cuda_runtime*.dist-info 2>/dev/null | xargs -rn1 basename | head -1))?"
echo 'the paper’s network, seconds for a slice of 128 × 128:'
node dist/training/reproduce/time-step.js --device cuda

places=(--cache "$out/cache" --runs "$out/runs" --out "$out")
cd "$from"
exec node "$OLDPWD/dist/training/reproduce/cli.js" --device cuda --minutes "$minutes" "${places[@]}" "$@"
