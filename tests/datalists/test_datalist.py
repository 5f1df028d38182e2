"""The form of a datalist: what is refused, how sides are chosen, and how paths are joined."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datalists import check_no_leak, items, load_datalist, resolve_datalist, save_datalist
from pipeline.datalists.datalist import case_name
from pipeline.errors import DataError
from pipeline.files import read_json


def entry(patient, phase, fold=None, section="training"):
    stem = f"{section}/{patient}/{patient}_{phase}"
    item = {"image": f"{stem}.nii.gz", "label": f"{stem}_gt.nii.gz", "case": f"{patient}_{phase}", "patient": patient}
    return item if fold is None else item | {"fold": fold}


@pytest.fixture
def datalist():
    training = [entry(patient, phase, fold) for fold, patient in enumerate("abc") for phase in ("ED", "ES")]
    return {"name": "acdc", "training": training, "testing": [entry("t", "ED", section="testing")]}


@pytest.fixture
def root(tmp_path, datalist):
    for item in datalist["training"] + datalist["testing"]:
        for key in ("image", "label"):
            path = tmp_path / "acdc" / item[key]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path / "acdc"


def test_saving_and_loading_gives_the_same_list(tmp_path, datalist):
    path = save_datalist(datalist, tmp_path / "new" / "list.json")
    loaded = load_datalist(path)
    assert loaded.pop("numTraining") == 6
    assert loaded.pop("numTest") == 1
    assert loaded == datalist
    assert path.stat().st_mode & 0o044 == 0o044
    assert [entry.name for entry in path.parent.iterdir()] == ["list.json"]


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("training", "testing", "numTraining", "numTest")),
        st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
        max_size=4,
    )
)
@settings(max_examples=50, deadline=None)
def test_any_header_survives_saving(tmp_path_factory, header):
    path = tmp_path_factory.mktemp("lists") / "list.json"
    save_datalist(header | {"training": [entry("a", "ED", 0)]}, path)
    loaded = load_datalist(path)
    assert {key: loaded[key] for key in header} == header
    assert loaded["training"] == [entry("a", "ED", 0)]
    assert loaded["testing"] == []


def test_a_saved_list_has_one_line_per_item(tmp_path, datalist):
    lines = save_datalist(datalist, tmp_path / "list.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.rstrip(","))["case"] for line in lines if '"case"' in line] == [
        *("a_ED", "a_ES", "b_ED", "b_ES", "c_ED", "c_ES", "t_ED")
    ]


def test_an_existing_file_is_only_replaced_when_told_to(tmp_path, datalist):
    path = tmp_path / "list.json"
    path.write_text("mine")
    with pytest.raises(DataError, match="existing"):
        save_datalist(datalist, path)
    assert path.read_text(encoding="utf-8") == "mine"
    save_datalist(datalist, path, overwrite=True)
    assert load_datalist(path)["training"] == datalist["training"]


def test_every_fault_of_the_form_is_named_at_once(tmp_path):
    faulty = [
        {"label": "a_gt.nii"},
        {"image": [], "label": "b_gt.nii"},
        {"image": "c.nii"},
        {"image": "d.nii", "label": "d_gt.nii", "fold": "0"},
        {"image": "e.nii", "label": "e_gt.nii", "image_path": "e.nii"},
        "f.nii",
        {"image": "g.nii", "label": "g_gt.nii", "case": "g"},
        {"image": "h.nii", "label": "h_gt.nii", "case": "g"},
        {"image": "i.nii", "label": "i_gt.nii", "slice": -1},
        {"image": "j.nii", "label": "j_gt.nii", "structures": {"lungs": 1}},
        {"image": "k.nii", "label": "k_gt.nii", "slice": 3, "structures": {"lungs": [1, 2, 3], "infection": [3]}},
    ]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": faulty, "testing": [{"image": "no label needed.nii"}]}))
    with pytest.raises(DataError) as caught:
        load_datalist(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 9
    words = ("'image'", "'image'", "'label'", "'fold'", "image_path", "an object", "'slice'", "'structures'")
    for index, line, word in zip((*range(6), 8, 9), lines[:8], words, strict=True):
        assert f"training[{index}]" in line
        assert word in line
    assert "g: expected one item for each case, found 2" in lines[8]


@pytest.mark.parametrize("case", ["../p", "/tmp/p", "a/b", "a\\b", "", ".", "..", ".p", "p\0", 7, ["p"], None])
def test_a_case_that_cannot_name_its_mask_is_refused(tmp_path, case):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [], "testing": [{"image": "a.nii", "case": case}]}))
    with pytest.raises(DataError, match=r"testing\[0\]: expected 'case': a text that may be a file's name"):
        load_datalist(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"training": {}}', '{"testing": []}'])
def test_a_file_that_is_no_datalist_is_one_line(tmp_path, text):
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_datalist(path)
    assert len(caught.value.problems) == 1
    assert str(path) in str(caught.value)


def test_a_missing_list_says_how_to_build_one(tmp_path):
    with pytest.raises(DataError, match="volseg datalist"):
        load_datalist(tmp_path / "none.json")


def test_a_patient_on_two_sides_is_refused(tmp_path, datalist):
    leaking = copy.deepcopy(datalist)
    leaking["training"][1]["fold"] = 2
    leaking["testing"].append(entry("b", "X", section="testing"))
    with pytest.raises(DataError) as caught:
        save_datalist(leaking, tmp_path / "list.json")
    assert [problem.file for problem in caught.value.problems] == ["a", "b"]
    assert not (tmp_path / "list.json").exists()
    check_no_leak(datalist)


def test_sides_are_disjoint_and_complete(root, datalist):
    for fold in range(3):
        chosen = {
            side: {item["case"] for item in items(datalist, dataset_dir=root, fold=fold, side=side)}
            for side in ("train", "validation", None)
        }
        assert chosen["validation"] == {f"{'abc'[fold]}_ED", f"{'abc'[fold]}_ES"}
        assert chosen["train"] == chosen[None] - chosen["validation"]
        assert len(chosen[None]) == 6


def test_without_a_fold_all_is_trained_on_and_nothing_validates(root, datalist):
    assert len(items(datalist, dataset_dir=root, side="train")) == 6
    with pytest.raises(DataError, match="Set fold"):
        items(datalist, dataset_dir=root, side="validation")


def test_fold_all_holds_nothing_out_and_validates_on_what_it_trains_on(root, datalist):
    sides = [items(datalist, dataset_dir=root, fold="all", side=side) for side in ("train", "validation")]
    assert sides[0] == sides[1] == items(datalist, dataset_dir=root)
    with pytest.raises(DataError, match="Choose one of these folds"):
        items(datalist, dataset_dir=root, fold="every", side="train")


def test_testing_ignores_the_fold(root, datalist):
    assert [item["case"] for item in items(datalist, dataset_dir=root, section="testing", fold=1)] == ["t_ED"]


def test_limit_takes_the_first(root, datalist):
    assert [item["case"] for item in items(datalist, dataset_dir=root, limit=2)] == ["a_ED", "a_ES"]


def test_the_list_itself_is_left_alone(root, datalist):
    before = copy.deepcopy(datalist)
    items(datalist, dataset_dir=root)[0]["case"] = "changed"
    assert datalist == before


@pytest.mark.parametrize("section", ["training", "testing"])
@pytest.mark.parametrize("folder", ["", "training", "testing"])
def test_dataset_dir_may_be_the_parent_or_a_section_itself(root, datalist, folder, section):
    (item, *_) = items(datalist, dataset_dir=root / folder, section=section)
    expected = root / datalist[section][0]["image"]
    assert expected.samefile(item["image"])


def test_dataset_dir_may_be_a_renamed_copy_of_training(root, datalist):
    renamed = (root / "training").rename(root.parent / "mine")
    assert items(datalist, dataset_dir=renamed)[0]["image"] == str(renamed / "a" / "a_ED.nii.gz")


def test_several_channels_are_joined_one_by_one(tmp_path):
    for name in ("t1.nii", "t2.nii", "gt.nii"):
        (tmp_path / name).touch()
    (item,) = items({"training": [{"image": ["t1.nii", "t2.nii"], "label": "gt.nii"}]}, dataset_dir=tmp_path)
    assert item == {
        "image": [str(tmp_path / "t1.nii"), str(tmp_path / "t2.nii")],
        "label": str(tmp_path / "gt.nii"),
        "case": "t1",
    }


def test_a_missing_dataset_dir_names_both_remedies(tmp_path, datalist):
    with pytest.raises(DataError) as caught:
        items(datalist, dataset_dir=tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
    assert "make demo" in str(caught.value)
    assert "--dataset_dir path/to/acdc" in str(caught.value)


def test_missing_files_are_counted_and_the_first_three_named(root, datalist):
    for item in datalist["training"][1:5]:
        (root / item["image"]).unlink()
    with pytest.raises(DataError, match=r"expected the 12 files .* found 4 missing") as caught:
        items(datalist, dataset_dir=root)
    assert "\n" not in str(caught.value)
    assert re.findall(r"\w+(?=\.nii\.gz)", str(caught.value)) == ["a_ES", "b_ED", "b_ES"]
    assert len(items(datalist, dataset_dir=root, limit=1)) == 1


def test_unknown_fold_and_empty_list_are_one_line(root, datalist):
    with pytest.raises(DataError, match="folds 0, 1, 2"):
        items(datalist, dataset_dir=root, fold=3)
    with pytest.raises(DataError, match="items in 'training', found none"):
        items({"training": []}, dataset_dir=root)
    with pytest.raises(DataError, match="found none"):
        items(datalist, dataset_dir=root, limit=0)


def test_a_typing_error_in_the_side_is_no_silent_choice(root, datalist):
    with pytest.raises(ValueError, match="val"):
        items(datalist, dataset_dir=root, fold=0, side="val")


def test_the_list_beside_the_data_is_preferred(tmp_path):
    assert resolve_datalist(tmp_path, "default.json") == "default.json"
    (tmp_path / "datalist.json").touch()
    assert resolve_datalist(tmp_path, "default.json") == str(tmp_path / "datalist.json")


def test_of_two_processes_that_build_a_list_the_slower_takes_the_list_of_the_faster(tmp_path):
    keep = tmp_path / "run" / "datalist.json"

    def build(folder):
        keep.parent.mkdir()
        keep.write_text("written by the faster one", encoding="utf-8")
        return {"training": []}

    assert resolve_datalist(tmp_path, build=build, keep=keep) == str(keep)
    assert keep.read_text(encoding="utf-8") == "written by the faster one"


def test_a_list_that_can_not_be_saved_is_not_taken_for_a_slower_process(tmp_path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        resolve_datalist(tmp_path, build=lambda folder: {"training": []}, keep=tmp_path / "file" / "datalist.json")


@pytest.mark.parametrize(
    ("path", "name"), [("x/a.b.nii.gz", "a.b"), ("a.nii", "a"), ("A.NII.GZ", "A"), ("a.b.mha", "a.b")]
)
def test_case_name_drops_one_suffix(path, name):
    assert case_name(path) == name


def test_a_benchmark_may_train_on_the_fold_and_test_on_the_rest(root, datalist):
    datalist["split"] = {"train_on": "fold"}
    cases = {
        side: {item["patient"] for item in items(datalist, dataset_dir=root, fold=1, side=side)}
        for side in ("train", "validation")
    }
    assert cases == {"train": {"b"}, "validation": {"a", "c"}}


def test_a_section_that_is_none_is_bad_input(root, datalist):
    with pytest.raises(DataError, match="section: expected training or testing, found 'x'"):
        items(datalist, dataset_dir=root, section="x")


def test_json_nested_too_deeply_is_bad_input(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    for read in (load_datalist, read_json):
        with pytest.raises(DataError, match="JSON"):
            read(tmp_path / "deep.json")
