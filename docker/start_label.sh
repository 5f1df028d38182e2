#!/bin/sh
# Serve every packed bundle of BUNDLES; what is trained stays in APP, and is taken again at the next start.
set -eu
APP="${APP:-/app}" BUNDLES="${BUNDLES:-/bundles}" STUDIES="${STUDIES:-/studies}"
PREFIX="$(python -c 'import sys; print(sys.prefix)')"
[ -f "$APP/main.py" ] || cp -r "$PREFIX/monailabel/sample-apps/monaibundle/." "$APP/"
mkdir -p "$APP/model"
MODELS=""
for bundle in "$BUNDLES"/*segmentation*/; do
    [ -f "$bundle/configs/inference.json" ] || continue
    name="$(basename "$bundle")"
    [ -d "$APP/model/$name" ] || cp -r "$bundle" "$APP/model/$name"
    MODELS="${MODELS:+$MODELS,}$name"
done
[ -n "$MODELS" ] || { echo "no packed bundle in $BUNDLES: volseg package bundles/acdc -o dist"; exit 2; }
exec python -m monailabel.main start_server --app "$APP" --studies "$STUDIES" --conf models "$MODELS" \
    --conf zoo_source local --host "${HOST:-0.0.0.0}" --port "${PORT:-8000}"
