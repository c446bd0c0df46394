#!/bin/bash
# This machine's processes of one training that several machines make together. Every machine runs
# it at the same time, in the same project folder on a file system that all share:
#
#   train-cell.sh train@recap-0 HOST     # HOST: one of the machines, which the others can reach
#
# The processes first add up numbers, so that a network that does not work is seen before the first
# update; then they train. Only rank 0 writes. Afterwards, once: dvc commit -f train@recap-0
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "Expected a training and a host, e.g. train-cell.sh train@recap-0 node1, got: $*" >&2
  exit 2
fi
line="$(python -m recap.cli.cells "$1")"
read -r nodes processes arguments <<< "$line"
eval "stage=($arguments)"  # which are quoted for a shell

launch() {
  torchrun --nnodes "$nodes" --nproc-per-node "$processes" --max-restarts 0 \
    --rdzv-backend c10d --rdzv-endpoint "$host:${RECAP_PORT:-29500}" --rdzv-id "$1" "${@:2}"
}

host="$2"
launch "check-$1" -m recap.rl.all_reduce
launch "$1" "${stage[@]}"
