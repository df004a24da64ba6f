#!/usr/bin/env bash
# onnxruntime on a graphics card, whose machine may have no network: fetch here, carry, join there.
#
#   benchmarks/gpu_onnx.sh about                         there: what Python, CUDA and packages it has
#   benchmarks/gpu_onnx.sh fetch DIR [options]           here: wheels, networks, in pieces
#   benchmarks/gpu_onnx.sh join DIR                      there: the wheels again, checked, installed
#   benchmarks/gpu_onnx.sh run DIR [options]             there: measured; options of gpu_onnx.py
#
# Options of fetch: --python 3.11, --cuda 13 (or 12; what PyTorch there was built for brings the
# libraries of CUDA and cuDNN along), --split N (MiB of a piece), --training (what pixelreg train
# needs there besides PyTorch). The wheel of onnxruntime-gpu has 256 MB, so where only N MiB can be
# carried at a time, --split N: the pieces in DIR/pieces are then carried one after the other. The
# networks take a few MB. Where the wheel cannot be had, `run DIR --torch` measures PyTorch's CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."

verb=${1:-}
folder=${2:-}
shift $(($# < 2 ? $# : 2))

# onnxruntime-gpu of PyPI: for CUDA 12 up to 1.26, then for CUDA 13. Its own few needs beside it.
wheels_for() { # CUDA's version, 1 for training too
  if test "$1" = 12; then echo "onnxruntime-gpu==1.26.*"; else echo "onnxruntime-gpu>=1.27"; fi
  printf '%s\n' flatbuffers protobuf packaging
  if test "$2" = 1; then
    printf '%s\n' click pillow safetensors scipy onnx onnxscript onnx-ir ml_dtypes typing_extensions
  fi
}

about() {
  python3 - <<'PYTHON'
import importlib.util, platform
print("Python", platform.python_version(), platform.machine())
for name in ("numpy", "cupy", "torch", "onnxruntime", "numba", "PIL", "click", "onnx"):
    found = importlib.util.find_spec(name)
    print(name, "is there" if found else "is not there")
if importlib.util.find_spec("torch"):
    import torch
    print("torch", torch.__version__, "for CUDA", torch.version.cuda, torch.cuda.is_available())
PYTHON
}

fetch() {
  local python=3.11 cuda=13 split=0 training=0
  while test $# -gt 0; do
    case $1 in
      --python) python=$2; shift 2 ;;
      --cuda) cuda=$2; shift 2 ;;
      --split) split=$2; shift 2 ;;
      --training) training=1; shift ;;
      *) echo "gpu_onnx.sh fetch: there is no option $1" >&2; exit 2 ;;
    esac
  done
  mkdir -p "$folder/wheels" "$folder/pieces"
  wheels_for "$cuda" "$training" | while read -r wheel; do
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "$python" \
      --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
      --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
      -d "$folder/wheels" "$wheel"
  done
  test -f "$folder/networks.zip" || python3 -m benchmarks.networks -o "$folder/networks.zip"
  pack "$split"
}

pack() { # MiB of a piece; 0 for one
  rm -f "$folder"/pieces/*
  (cd "$folder" && sha256sum wheels/*.whl networks.zip >pieces/sums)
  tar -C "$folder" -cf - wheels networks.zip |
    if test "$1" = 0; then cat >"$folder/pieces/part-000"; else
      split -b "${1}M" -d -a 3 - "$folder/pieces/part-"
    fi
  ls -l "$folder/pieces"
  echo "carry all of $folder/pieces, then: benchmarks/gpu_onnx.sh join $folder"
}

join() {
  cat "$folder"/pieces/part-* | tar -C "$folder" -xf -
  (cd "$folder" && sha256sum --quiet -c pieces/sums)
  # Into a folder that comes first: an onnxruntime without CUDA may be installed already.
  python3 -m pip install --quiet --no-index --no-deps --upgrade --target "$folder/packages" \
    "$folder"/wheels/*.whl
  echo "joined: $(ls "$folder/wheels" | wc -l) wheels, in $folder/packages"
}

run() {
  local packages
  packages="$(realpath "$folder")/packages"
  PYTHONPATH="$packages:${PYTHONPATH:-}" python3 -m benchmarks.gpu_onnx \
    --networks "$folder/networks.zip" "$@"
}

case $verb in
  about) about ;;
  fetch | join | run)
    test -n "$folder" || { echo "gpu_onnx.sh $verb needs a folder" >&2; exit 2; }
    "$verb" "$@"
    ;;
  *) sed -n '2,18p' "$0" >&2; exit 2 ;;
esac
