#!/bin/sh
# MONAI Label and what packed bundles need, into one environment; for docker/Dockerfile.label and `make label-test`.
# Plain `pip install monailabel` fails: its sam2 builds against another torch, its pydicom-seg breaks on pydicom 3.
# PIP: the pip to use. TORCH_INDEX: where torch and torchvision come from (https://download.pytorch.org/whl/cpu);
# without it torch comes from pip's own index, and torchvision is left to the caller.
set -eu
cd "$(dirname "$0")/.."
PIP="${PIP:-pip}"
INSTALL="$PIP install -c constraints-label.txt"
if [ -n "${TORCH_INDEX:-}" ]; then
    $INSTALL --index-url "$TORCH_INDEX" torch torchvision
else
    $INSTALL torch
fi
# the server's own
$INSTALL monai "pydicom<3" "pynetdicom<3" "dicomweb-client<0.60" itk pynrrd fastapi uvicorn pydantic pydantic-settings \
    python-dotenv python-multipart httpx schedule timeloop expiringdict expiring_dict cachetools watchdog filelock \
    passlib pyjwt bcrypt shapely requests requests-toolbelt einops psutil google-auth girder-client jsonschema
# the bundles' (required_packages_version of their metadata)
$INSTALL nibabel SimpleITK pytorch-ignite scikit-image scipy tensorboard fire pyyaml tqdm pillow matplotlib pandas \
    Jinja2 edt connected-components-3d
$PIP install --no-deps monailabel==0.8.5 pydicom-seg==0.4.1
