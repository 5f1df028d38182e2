"""Bundle runs on small phantoms, with a tiny network, in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

REPOSITORY = Path(__file__).resolve().parents[2]

SHALLOW = {
    "device": "$torch.device('cpu')",
    "num_workers": 0,
    "network_def#kernel_size": [[3, 3, 1]] * 3,
    "network_def#strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]],
    "network_def#upsample_kernel_size": [[2, 2, 1]] * 2,
    "network_def#filters": [4, 8, 8],
}
NARROW = {
    "device": "$torch.device('cpu')",
    "num_workers": 0,
    "network_def#network#network#filters": [4, 8, 8, 8, 8],
}
TINY = {
    "acdc": NARROW | {"patch_size": [48, 48, 1], "spacing": [3.0, 3.0, -1]},
    "covid19": SHALLOW | {"patch_size": [32, 32, 8], "spacing": [8.0, 8.0, 10.0]},
    "covid19_slices": SHALLOW | {"patch_size": [48, 48, 1]},
}


@pytest.fixture
def bundle(monkeypatch, tmp_path, request):
    """Start a workflow: bundle("train", epochs=2, ...), of bundles/acdc unless `name` says else; more files overlay."""
    monkeypatch.chdir(REPOSITORY)

    def start(*files, name="acdc", kind="train", run_id="run", **overrides):
        settings = {**TINY[name], "output_dir": str(tmp_path / "run"), **overrides}
        if "dataset_dir" not in settings:
            settings["dataset_dir"] = str(request.getfixturevalue(f"phantom_{name}"))
        workflow = ConfigWorkflow(
            config_file=[f"bundles/{name}/{file}.json" for file in files],
            meta_file=f"bundles/{name}/metadata.json",
            logging_file=False,
            workflow_type=kind,
            run_id=run_id,
            **{key: value for key, value in settings.items() if value is not None},
        )
        workflow.initialize()
        return workflow

    return start
