"""What a packed bundle consists of, and what is not packed."""

import hashlib
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
import tiny_bundles
from image_files import acdc_like

from pipeline.errors import DataError
from pipeline.packaging import checksums, package, verify
from pipeline.packaging.loading import on_path, parser_of
from pipeline.packaging.trust import trusted_bundle
from pipeline.segmentation import segment
from pipeline.volumes import read_mask


def load(folder, name):
    return json.loads((folder / "configs" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_folder_has_the_form_that_other_programs_take(packed_once):
    folder = packed_once["acdc"]
    assert folder.name == "acdc_segmentation"
    for name in ("configs/train.json", "configs/evaluate.json", "configs/multi_gpu_train.json", "configs/logging.conf"):
        assert (folder / name).is_file(), name
    for name in (
        "models/model.pt",
        "docs/README.md",
        "docs/data_license.txt",
        "LICENSE",
        "volseg_acdc_0_3_3/launch.py",
    ):
        assert (folder / name).is_file(), name
    assert (folder / "models/model.pt").stat().st_mode & 0o044


def test_no_bundle_speaks_of_the_repository(packed_once):
    for folder in packed_once.values():
        for path in [*folder.glob("configs/*.json"), *folder.rglob("*.py")]:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(from|import) pipeline\b", text, re.M), path
            if path.suffix == ".json":
                assert not re.search(r"\bpipeline\.|bundles/|data_lists/", text), path


def test_the_python_of_two_bundles_has_two_names(packed_once):
    names = [path.parent.name for folder in packed_once.values() for path in folder.glob("*/__init__.py")]
    assert names == ["volseg_acdc_0_3_3", "volseg_covid19_0_1_1", "volseg_covid19_slices_0_1_2"]


def test_only_what_the_configurations_reach_is_carried(packed_once):
    module = packed_once["acdc"] / "volseg_acdc_0_3_3"
    assert not (module / "cli").exists()
    assert not (module / "phantoms").exists()
    assert not (module / "datalists" / "covid19").exists()
    assert (packed_once["covid19"] / "volseg_covid19_0_1_1" / "datalists" / "covid19" / "builder.py").is_file()


def test_the_committed_datalist_comes_along(packed_once):
    train = load(packed_once["acdc"], "train")
    assert "@bundle_root + '/configs/acdc.json'" in train["datalist"]
    assert (packed_once["acdc"] / "configs" / "acdc.json").read_bytes() == (
        tiny_bundles.REPOSITORY / "data_lists" / "acdc.json"
    ).read_bytes()


def test_a_server_meets_no_expression_that_needs_our_data(packed_once):
    for name, folder in packed_once.items():
        train, inference = load(folder, "train"), load(folder, "inference")
        assert "initialize" not in train, name
        assert "initialize" not in inference, name
        assert not any("@datalist" in text or "@dataset_dir" in text for text in train["run"]), train["run"]
        assert train["run"][-1].startswith("$serving.publish(")
        assert not [h for h in train["train"]["handlers"] if h["_target_"] == "CheckpointLoader"]


def test_metadata_is_completed(packed_once):
    import numpy
    import torch

    meta = load(packed_once["covid19"], "metadata")
    assert meta["pytorch_version"] == torch.__version__.split("+")[0]
    assert meta["numpy_version"] == numpy.__version__
    required = meta["required_packages_version"]
    assert {"fire", "nibabel", "pytorch-ignite", "connected-components-3d"} <= set(required)
    assert "torch" not in required
    assert len({name.lower() for name in required}) == len(required)
    pred = meta["network_data_format"]["outputs"]["pred"]
    assert pred["num_channels"] == 1
    assert pred["channel_def"] == {"0": "background", "1": "infection"}  # the numbers of its masks, for MONAI Label


def test_overlapping_structures_are_named_by_the_numbers_of_the_masks(tmp_path):
    bundle = tiny_bundles.make("covid19", tmp_path, target="both")
    tiny_bundles.edit(bundle / "inference.json", target="infection")
    tiny_bundles.edit(bundle / "train.json", target="infection")
    folder = package(bundle, tmp_path / "dist", overrides={"target": "both"}).folder
    pred = load(folder, "metadata")["network_data_format"]["outputs"]["pred"]
    assert pred["num_channels"] == 2
    assert pred["channel_def"] == {"0": "background", "1": "lungs", "2": "infection"}
    assert load(folder, "train")["target"] == "both"


def test_the_score_of_the_weights_comes_along(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    (bundle / "models" / "model.json").write_text('{"metric": "val_dice", "score": 0.91234}')
    folder = package(bundle, tmp_path / "dist").folder
    assert load(folder, "metadata")["eval_metrics"] == {"val_dice": 0.9123}
    assert (folder / "models" / "model.json").is_file()


def test_a_score_on_patients_who_were_trained_on_does_not(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    (bundle / "models" / "model.json").write_text('{"metric": "val_dice", "score": 0.95, "fold": "all"}')
    folder = package(bundle, tmp_path / "dist").folder
    assert "eval_metrics" not in load(folder, "metadata")


def test_other_weights_are_not_sold_as_the_bundle_s(tmp_path):
    """The card, its figures and its data are those of the weights in the bundle's folder."""
    labels = {"PZ": 1, "TZ": 2}
    bundle = tiny_bundles.make("acdc", tmp_path, labels=labels, in_channels=2)
    (bundle / "docs").mkdir()
    (bundle / "docs" / "figure.png").write_bytes(b"a figure of ACDC")
    own = package(bundle, tmp_path / "own").folder
    assert "ACDC" in (own / "docs" / "README.md").read_text(encoding="utf-8")
    assert (own / "docs" / "figure.png").is_file()
    weights = shutil.copy(bundle / "models" / "model.pt", tmp_path / "prostate.pt")
    folder = package(bundle, tmp_path / "dist", weights=weights, name="prostate").folder
    assert (folder.name, (folder / "volseg_prostate_0_3_3").is_dir()) == ("prostate_segmentation", True)
    assert [path.name for path in (folder / "docs").iterdir()] == ["README.md"]
    page = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# prostate_segmentation\n")
    assert '| `labels` | {"PZ": 1, "TZ": 2} |' in page
    assert "Nothing is known here of the data" in page
    metadata = load(folder, "metadata")
    assert metadata["label_classes"] == "single channel label map: 0 background, 1 PZ, 2 TZ"
    assert metadata["data_source"] == "not told by who packed the weights"
    (image,) = metadata["network_data_format"]["inputs"].values()
    assert len(image["channel_def"]) == image["num_channels"] == 10
    told = json.dumps(metadata) + page
    assert "Bernard" not in told
    assert "ventric" not in told
    assert all(finding.passed for finding in verify(folder))


def test_several_weights_answer_together_in_one_package(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    files = [tiny_bundles.make("acdc", tmp_path / str(s), seed=s) / "models" / "model.pt" for s in (1, 2)]
    folder = package(bundle, tmp_path / "dist", weights=files, name="both").folder
    assert all(finding.passed for finding in verify(folder))
    image = acdc_like(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 900, (50, 48, 4)).astype(np.int16))
    settings = {"weights": files, "overrides": {"precision": "fp32"}, "progress": False}
    expected = read_mask(segment(image, tmp_path / "repository", bundle=bundle, **settings).cases[0].mask)
    with trusted_bundle(folder) as place:
        own = settings | {"weights": None, "bundle": place}
        assert np.array_equal(read_mask(segment(image, tmp_path / "packed", **own).cases[0].mask), expected)
        alone = settings | {"weights": files[0], "bundle": place}
        assert not np.array_equal(read_mask(segment(image, tmp_path / "alone", **alone).cases[0].mask), expected)
    for name in ("model.pt", "model_2.pt"):
        shutil.copy(folder / "models" / name, bundle / "models" / name)
    again = package(bundle, tmp_path / "own").folder
    assert (again / "models" / "model_2.pt").read_bytes() == files[1].read_bytes()
    with pytest.raises(DataError, match="1 to 9 files"):
        package(bundle, tmp_path / "many", weights=files * 5)


def test_what_another_file_holds_is_packed_with_it(tmp_path, monkeypatch):
    bundle = tiny_bundles.make("acdc", tmp_path)
    network = json.loads((bundle / "inference.json").read_text(encoding="utf-8"))["network_def"]
    (tmp_path / "networks.json").write_text(json.dumps({"mine": network}))
    for kind in ("train", "inference"):
        tiny_bundles.edit(bundle / f"{kind}.json", network_def=f"%{tmp_path / 'networks.json'}::mine")
    folder = package(bundle, tmp_path / "dist").folder
    for kind in ("train", "inference"):
        assert load(folder, kind)["network_def"]["network"]["network"]["filters"] == [4, 8, 8, 8, 8]
    with pytest.raises(DataError, match=r"a file that is there, found nowhere\.json"):
        package(bundle, tmp_path / "dist2", overrides={"network_def": "%nowhere.json::mine"})


def test_a_bundle_without_a_page_and_a_name(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    (bundle / "README.md").unlink()
    tiny_bundles.edit(bundle / "metadata.json", name=None, description="Finds it")
    page = (package(bundle, tmp_path / "dist").folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# acdc\n\nFinds it\n")
    assert "its own\nPython is `volseg_acdc_0_3_3`" in page


def test_checksums_are_those_of_sha256sum(packed_once):
    folder = packed_once["acdc"]
    listed = checksums.read(folder)
    assert listed["models/model.pt"] == hashlib.sha256((folder / "models/model.pt").read_bytes()).hexdigest()
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == {name for name in on_disk if "__pycache__" not in name} - {checksums.NAME}
    assert checksums.differences(folder) == {}


def test_the_zip_holds_the_folder(packed_once):
    folder = packed_once["acdc"]
    with zipfile.ZipFile(folder.with_name("acdc_segmentation_v0.3.3.zip")) as archive:
        names = {name.removeprefix("acdc_segmentation/") for name in archive.namelist()}
        assert names == {*checksums.read(folder), checksums.NAME}
        assert archive.read("acdc_segmentation/LICENSE") == (folder / "LICENSE").read_bytes()


def test_nothing_is_replaced_unasked(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    first = package(bundle, tmp_path / "dist").folder
    (first / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match="no packed bundle yet"):
        package(bundle, tmp_path / "dist")
    assert (first / "mine.txt").is_file()
    package(bundle, tmp_path / "dist", overwrite=True)
    assert not (first / "mine.txt").exists()
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["acdc_segmentation"]


def test_every_reason_not_to_pack_is_told_at_once(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path, weights=False)
    tiny_bundles.edit(bundle / "train.json", spacing=[2.0, 2.0, -1])
    tiny_bundles.edit(bundle / "metadata.json", version="9.0.0", authors=None)
    with pytest.raises(DataError) as caught:
        package(bundle, tmp_path / "dist")
    told = str(caught.value)
    for words in (
        "a file of weights, found none",
        "spacing as in train.json",
        "'authors'",
        "version 9.0.0 in the chang",
    ):
        assert words in told, words
    assert not (tmp_path / "dist").exists()


def test_weights_of_another_network_are_not_packed(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    other = tiny_bundles.make("covid19", tmp_path) / "models" / "model.pt"
    with pytest.raises(DataError, match="weights of this network_def"):
        package(bundle, tmp_path / "dist", weights=other)


@pytest.mark.parametrize("name", ["a/b", "../up", ".", ".."])
def test_a_name_is_no_path(tmp_path, name):
    bundle = tiny_bundles.make("acdc", tmp_path)
    with pytest.raises(DataError, match="the name of a folder"):
        package(bundle, tmp_path / "dist", name=name)
    assert not (tmp_path / "dist").exists()


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    bundle = tiny_bundles.make("acdc", tmp_path)
    mine = tmp_path / "dist" / "acdc_segmentation" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DataError, match="no folder of something else"):
        package(bundle, tmp_path / "dist", overwrite=True)
    assert mine.read_text(encoding="utf-8") == "mine"


def test_settings_must_be_keys(tmp_path):
    with pytest.raises(DataError, match="targett"):
        package(tiny_bundles.make("covid19", tmp_path), tmp_path / "dist", overrides={"targett": "both"})


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(DataError, match=r"inference\.json"):
        package(tmp_path, tmp_path / "dist")


def test_references_into_the_inferer_find_what_they_found(packed_once):
    with on_path(packed_once["acdc"]):
        cascade = parser_of(packed_once["acdc"], device="$torch.device('cpu')").get_parsed_content("inferer").inferer
    assert type(cascade.coarse).__name__ == "PrecisionInferer"
    assert cascade.coarse is cascade.inferer.inferer.inferer
