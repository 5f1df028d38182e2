#!/bin/sh
# What docker/Dockerfile installs, and what a machine without an engine can install alike: sh docker/install.sh
# PIP: the pip to use. TORCH_INDEX: where torch comes from (https://download.pytorch.org/whl/cpu, .../cu128); default: pip's own.
set -eu
cd "$(dirname "$0")/.."
PIP="${PIP:-pip}"
$PIP install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
$PIP install --no-cache-dir -c constraints.txt -e .
