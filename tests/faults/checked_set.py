"""A data set with one case for each row, looked at by one call of `volseg check`."""

from __future__ import annotations

import json

import dirty_set
import pytest
from dirty_set import Case
from faults import row, volseg

CHECK = "volseg check LIST"
TOLD = "named; the other cases are checked"
AGAIN = "Copy or download the file again."
GOOD = ["good-1", "good-2", "good-3"]


def of(id, what, message, spoil, **options):
    """A row about the case of this name; `message` goes on where the file's name ends."""
    which = options.pop("file", f"images/{id}.nii.gz")
    return row(id, what, CHECK, TOLD, f"{which}{message}", spoil, **options)


def check_all(root, names, rows):
    """Exit code, output and the findings as JSON of one call over good cases and one case for each row."""
    cases = [Case(root, name) for name in names]
    for each in rows:
        case = Case(root, each.id)
        each.values[1](case)
        cases.append(case)
    (root / "datalist.json").write_text(json.dumps(dirty_set.make_list(cases)))
    before = {path: path.read_bytes() for path in root.rglob("*.nii.gz") if path.is_file()}
    code, output = volseg("check", root, "--processes", 1, "--json", root / "found.json")
    assert all(path.read_bytes() == content for path, content in before.items())
    return code, output, json.loads((root / "found.json").read_text()) if code in (0, 2) else {}


def assert_told(row, checked):
    """That the call ended as the row says and names its case."""
    code, output, found = checked
    row.check(code, output)
    assert any(case.startswith(row.id) for case in found["broken"])


def pytest_generate_tests(metafunc):
    """Of a module that imports it: its `ROWS` for `test_each_fault_is_told`."""
    if {"row", "checked"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("row", "spoil"), metafunc.module.ROWS)


@pytest.fixture(scope="module")
def checked(request, tmp_path_factory):
    """The one call over all rows of a module."""
    return check_all(tmp_path_factory.mktemp("dirty"), GOOD, request.module.ROWS)


@pytest.mark.timeout(120)
def test_each_fault_is_told(row, spoil, checked):
    assert_told(row, checked)


def test_good_cases_are_not_accused(request, checked):
    told = {case for finding in checked[2]["problems"] for case in finding["cases"]}
    assert not set(GOOD) & told
    assert all(any(case.startswith(each.id) for each in request.module.ROWS) for case in told)
