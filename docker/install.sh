#!/bin/sh
# What docker/Dockerfile, `make` and a machine without an engine install alike: sh docker/install.sh
# PIP: the pip to use. EXTRAS: of setup.cfg, with commas. TORCH_INDEX: where torch comes from
# (https://download.pytorch.org/whl/cpu, .../cu128); default: pip's own.
set -eu
cd "$(dirname "$0")/.."
PIP="${PIP:-pip}"
$PIP install -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
$PIP install -c constraints.txt -e ".${EXTRAS:+[$EXTRAS]}"
