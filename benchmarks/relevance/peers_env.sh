#!/usr/bin/env bash
# One virtual environment a peer, because their pins cannot live together (nor beside ours).
#   benchmarks/relevance/peers_env.sh FOLDER [zennit lxt inseq flashtrace dl-backtrace]
# Then: .venv/bin/python benchmarks/relevance/peers.py --foreign FOLDER
# Needs a CPU build of torch among pip's sources; a CUDA build is refused, so nothing downloads gigabytes by accident.
# What installed and what did not stands in FOLDER/install.log; a peer that fails does not stop the others.
set -u
folder=${1:?"usage: peers_env.sh FOLDER [PEER...]"}
shift
peers=${*:-zennit lxt inseq flashtrace dl-backtrace}
python=${PYTHON:-python3.11}
torch=${TORCH:-2.13.0+cpu}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"

packages() { # the packages of one peer, pinned; --no-deps where its own pins would bring CUDA or break torch
  case $1 in
    zennit) echo "--no-deps zennit==0.5.1 click==8.1.8 pillow==11.3.0" ;;
    lxt) echo "--no-deps lxt==2.1" ;;
    inseq) echo "inseq==0.7.1" ;;
    flashtrace) echo "flashtrace==0.1.1" ;;
    dl-backtrace) echo "--no-deps dl-backtrace==0.1.24" ;;
    *) echo "unknown" ;;
  esac
}

companions() { # what the peer imports, installed before it
  case $1 in
    zennit) echo "numpy==2.4.6 safetensors==0.8.0" ;;
    lxt) echo "numpy==2.2.6 safetensors==0.5.3 transformers==4.52.4 tabulate==0.9.0" ;;
    inseq) echo "numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0" ;;
    flashtrace) echo "numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0" ;;
    dl-backtrace) echo "numpy==2.2.6 safetensors==0.5.3 transformers==4.51.3 pillow==11.3.0" ;;
    *) echo "" ;;
  esac
}

for peer in $peers; do
  [ "$(packages "$peer")" = unknown ] && { echo "unknown peer: $peer" >&2; exit 2; }
  env="$folder/$peer"
  constraint="$folder/$peer.constraint"
  echo "torch==$torch" >"$constraint"
  if [ ! -x "$env/bin/python" ]; then
    "$python" -m venv "$env" &&
      "$env/bin/pip" install -q -c "$constraint" "torch==$torch" $(companions "$peer") &&
      "$env/bin/pip" install -q -c "$constraint" $(packages "$peer")
    status=$?
  else
    status=0
  fi
  if [ "$status" -eq 0 ]; then
    "$env/bin/python" "$here/peers_foreign.py" --peer "$peer" --check >"$env.check" 2>&1
    status=$?
    echo "$peer: $(tail -n 1 "$env.check")" | tee -a "$folder/install.log"
  else
    echo "$peer: pip failed" | tee -a "$folder/install.log"
  fi
done
