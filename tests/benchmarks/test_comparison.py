"""The harness computes ratios and tells targets right; a child's memory and result come back."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks import comparison
from benchmarks.child import in_child
from benchmarks.comparison import Row, Turns, compared, markdown, not_measured, take_turns
from benchmarks.growth import line
from benchmarks.page import put


def test_jobs_take_turns_and_every_result_is_kept(monkeypatch):
    clock = iter(range(100))
    calls = []
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: float(next(clock)))
    jobs = {"a": lambda x: calls.append(f"a{x}") or 2 * x, "b": lambda x: calls.append(f"b{x}") or -x}
    turns = take_turns(jobs, [1, 2])
    assert calls == ["a1", "b1", "a1", "b1", "a2", "b2"], "once before, untimed"
    assert turns.results == {"a": [2, 4], "b": [-1, -2]}
    assert turns.seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_ratios_are_those_of_each_turn():
    turns = Turns({"ours": [1.0, 2.0, 4.0], "theirs": [4.0, 10.0, 8.0]}, {})
    about = {"name": "n", "what": "w", "against": "a"}
    gain = compared(turns, "ours", "theirs", kind="gain", target=4.0, **about)
    assert gain.values == [4.0, 5.0, 2.0]
    assert gain.median == 4.0
    assert gain.met is True
    cost = compared(turns, "ours", "theirs", kind="cost", target=0.2, **about)
    assert cost.values == [0.25, 0.2, 0.5]
    assert cost.met is False
    assert cost.seconds == (2.0, 8.0)
    assert cost.as_json() | {"median": 0.25, "min": 0.2, "max": 0.5, "met": False} == cost.as_json()


def test_a_further_condition_can_miss_the_target():
    row = Row("n", "w", "a", "gain", [9.0], target=4.0, failed=["mean Dice is lower"])
    assert row.met is False
    assert "9.00 times faster (9.00 to 9.00), missed" in markdown([row])
    assert "- w: mean Dice is lower" in markdown([row])
    assert Row("n", "w", "a", "gain", [9.0]).met is None


def test_what_could_not_be_measured_is_said():
    row = not_measured("not installed", name="n", what="w", against="a", kind="gain", target=3.0)
    assert row.met is None
    assert math.isnan(row.median)
    assert "| w | a | >= 3 times faster | not measured |" in markdown([row])
    assert "not measured: not installed" in markdown([row])
    json.dumps(row.as_json())


def test_a_child_tells_its_result_and_memory(tmp_path):
    (tmp_path / "spend.py").write_text(
        "def spend(megabytes):\n    return lambda: len(bytearray(megabytes * 2**20)) >> 20\n", encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        done = in_child("spend:spend", megabytes=200)
        with pytest.raises(RuntimeError, match="has no attribute 'save'"):
            in_child("spend:save")
    assert done.result == 200
    assert 190 < done.peak_mb - done.before_mb < 260
    assert done.before_mb < 120, "not the memory of this process"


def test_a_straight_line_by_hand():
    slope, intercept, off = line([0, 1, 2], [1, 3, 5])
    assert (slope, intercept, off) == pytest.approx((2, 1, 0), abs=1e-9)
    assert line([0, 1, 2], [0, 3, 0])[2] == pytest.approx(2 / 3)


def test_a_table_lands_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
    put("x", "new", page)
    assert page.read_text(encoding="utf-8") == "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n"
    with pytest.raises(ValueError, match="begin y"):
        put("y", "new", page)
