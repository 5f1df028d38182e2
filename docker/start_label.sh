#!/bin/sh
# Serve the packed bundles of BUNDLES; what is trained stays in APP, and is taken again at the next start.
# MODELS: the names of those to serve, with commas; default: all.
set -eu
APP="${APP:-/app}" BUNDLES="${BUNDLES:-/bundles}" STUDIES="${STUDIES:-/studies}"
PREFIX="$(python -c 'import sys; print(sys.prefix)')"
[ -f "$APP/main.py" ] || cp -r "$PREFIX/monailabel/sample-apps/monaibundle/." "$APP/"
mkdir -p "$APP/model"
FOUND=""
for bundle in "$BUNDLES"/*segmentation*/; do
    name="$(basename "$bundle")"
    [ -f "$bundle/configs/inference.json" ] || continue
    case ",${MODELS:-$name}," in *",$name,"*) ;; *) continue ;; esac
    [ -d "$APP/model/$name" ] || cp -r "$bundle" "$APP/model/$name"
    FOUND="${FOUND:+$FOUND,}$name"
done
[ -n "$FOUND" ] || { echo "no packed bundle${MODELS:+ $MODELS} in $BUNDLES: volseg package bundles/acdc -o dist"; exit 2; }
exec python -m monailabel.main start_server --app "$APP" --studies "$STUDIES" --conf models "$FOUND" \
    --conf zoo_source local --host "${HOST:-0.0.0.0}" --port "${PORT:-8000}"
