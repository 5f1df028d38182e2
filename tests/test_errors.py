"""A DataError says everything on one line for each problem, and survives the trip between processes."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, Problem, printable

PROBLEM = Problem("a.nii.gz", "a volume", "a picture", "Give a volume")


def test_one_line_names_file_expected_found_and_remedy():
    assert str(DataError(PROBLEM)) == "a.nii.gz: expected a volume, found a picture. Give a volume."


def test_several_problems_are_several_lines():
    other = Problem("b.nii.gz", "labels 0..3", "label 7", "Check the export")
    assert str(DataError([PROBLEM, other])).splitlines() == [str(PROBLEM), str(other)]


def test_an_error_without_a_problem_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="at least one problem"):
        DataError([])


def test_it_crosses_process_borders_with_its_problems():
    copy = pickle.loads(pickle.dumps(DataError([PROBLEM, PROBLEM])))
    assert copy.problems == [PROBLEM, PROBLEM]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 体积 ✓.nii", "Größe 体积 ✓.nii"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("a\x1b[31mred\x07\x9b", r"a\x1b[31mred\x07\x9b"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("no text: \udcff", r"no text: \udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_a_terminal_shows_names_and_does_not_obey_them(text, shown):
    assert printable(text) == shown
    told = str(DataError([Problem(text, text, text, text), PROBLEM]))
    assert told.splitlines() == [f"{shown}: expected {shown}, found {shown}. {shown}.", str(PROBLEM)]


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_shown_can_always_be_printed(text):
    assert printable(text).isprintable()
    printable(text).encode("utf-8")
