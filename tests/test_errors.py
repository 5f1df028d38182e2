"""A DataError says everything on one line for each problem, and survives the trip between processes."""

import pickle

import pytest

from pipeline.errors import DataError, Problem

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
