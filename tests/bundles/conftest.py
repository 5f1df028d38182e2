"""Bundle runs on small phantoms, with a tiny network, in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

REPOSITORY = Path(__file__).resolve().parents[2]

TINY = {
    "device": "$torch.device('cpu')",
    "patch_size": [48, 48, 1],
    "spacing": [3.0, 3.0, -1],
    "num_workers": 0,
    "network_def#kernel_size": [[3, 3, 1]] * 3,
    "network_def#strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]],
    "network_def#upsample_kernel_size": [[2, 2, 1]] * 2,
    "network_def#filters": [4, 8, 8],
}


@pytest.fixture
def bundle(monkeypatch, tmp_path, phantom_acdc):
    """Start a workflow of bundles/acdc: bundle("train", epochs=2, ...); further files are overlays."""
    monkeypatch.chdir(REPOSITORY)

    def start(*files, kind="train", run_id="run", **overrides):
        settings = {**TINY, "dataset_dir": str(phantom_acdc), "output_dir": str(tmp_path / "run"), **overrides}
        workflow = ConfigWorkflow(
            config_file=[f"bundles/acdc/{name}.json" for name in files],
            meta_file="bundles/acdc/metadata.json",
            logging_file=False,
            workflow_type=kind,
            run_id=run_id,
            **{key: value for key, value in settings.items() if value is not None},
        )
        workflow.initialize()
        return workflow

    return start
