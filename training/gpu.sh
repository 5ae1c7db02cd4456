#!/usr/bin/env bash
# Trains on the NVIDIA GPU of a Linux x64 machine that has its driver, npm, and Python with pip:
#   training/gpu.sh MINUTES OUT [options of the reference command, such as --data DIR --motion DIR]
# Installs what is missing, checks the GPU against the CPU, times steps, and runs the reference command for so many
# minutes of training. OUT gets log.txt, runs/ (checkpoints and curves), models/ and report/. The same command goes on
# where it was interrupted.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
project=$(cd "$(dirname "$0")/.." && pwd)
minutes=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
exec > >(tee -a "$out/log.txt") 2>&1
fail() { echo "$1"; exit 1; }

recent='const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
if ! node -e "$recent" 2>/dev/null; then
  npm install --no-audit --no-fund --prefix "$out/node" node@22
  export PATH="$out/node/node_modules/node/bin:$PATH"
fi
[ -d "$project/node_modules/onnxruntime-node" ] || npm --prefix "$project" ci --no-audit --no-fund
npm --prefix "$project" run build
providers=$project/node_modules/onnxruntime-node/bin/napi-v6/linux/x64
[ -e "$providers/libonnxruntime_providers_cuda.so" ] || "$project/deploy/install-cuda.sh" "$project"

echo 'a few steps on the GPU and on the CPU:'
trial=$(node "$project/dist/training/train/device-trial.js" cuda 0) || fail 'the trial of the GPU ended its process'
echo "$trial"
[[ $trial == *'"ok":true'* ]] || fail 'the GPU does not work; is its driver new enough for these CUDA libraries?'
echo 'the paper’s network, seconds for a slice of 128 × 128:'
node "$project/dist/training/reproduce/time-step.js" --device cuda

node "$project/dist/training/reproduce/cli.js" --device cuda --minutes "$minutes" \
  --cache "$out/cache" --runs "$out/runs" --out "$out" "$@"
