"""Which of our names a configuration means, and how they are renamed."""

from pipeline.packaging.names import constants, imports_of, our_names, renamed

CONFIG = {
    "_desc_": "pipeline.nothing is only spoken of",
    "imports": ["$import pipeline.launch as launch", "$from pipeline.volumes import spacing", "$import os"],
    "a": {"_target_": "pipeline.transforms.Spacingd", "keys": "image"},
    "b": ["$launch.check(x=@launch) + other.launch.no()", "launch.plain_text"],
    "c": "$pipeline.structures.own_numbers(@labels)",
    "d": {"_target_": "LoadImaged"},
}


def test_names_are_found_in_targets_imports_and_expressions():
    assert our_names(CONFIG) == {
        "pipeline.launch",
        "pipeline.launch.check",
        "pipeline.volumes",
        "pipeline.transforms.Spacingd",
        "pipeline.structures.own_numbers",
    }


def test_imports_are_told_by_the_name_that_they_give():
    assert imports_of(CONFIG) == {"launch": "pipeline.launch", "spacing": "pipeline.volumes.spacing", "os": "os"}


def test_renaming_touches_names_and_nothing_else():
    changed = renamed(CONFIG, "volseg_x")
    assert changed["a"] == {"_target_": "volseg_x.transforms.Spacingd", "keys": "image"}
    assert changed["imports"][0] == "$import volseg_x.launch as launch"
    assert changed["c"] == "$volseg_x.structures.own_numbers(@labels)"
    assert (changed["b"], changed["d"], changed["_desc_"]) == (CONFIG["b"], CONFIG["d"], CONFIG["_desc_"])


def test_constants_of_expressions_with_references():
    assert set(constants("$@output_dir + '/a' if @train#x::y == \"b\" else f(@z, k='c')")) == {"/a", "b", "c"}
    assert constants("$import os.path as p") == []
    assert constants("plain") == ["plain"]


def test_what_is_joined_to_a_folder_is_no_place_of_its_own():
    text = "$@ckpt_dir + ('/model.pt' if @chosen == 'best' else '/model_final.pt')"
    assert constants(text, joined=False) == []
    assert constants("$'/data/' + @name", joined=False) == ["/data/"]
    assert constants("$open('/etc/x')", joined=False) == ["/etc/x"]
