"""The benchmark of the losses runs, and compares versions that agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks is a folder of scripts, not installed

from benchmarks import losses as benchmark
from benchmarks.timing import interleaved
from pipeline.losses import HausdorffCVLoss, HausdorffERLoss


def test_prints_a_table_and_writes_json(tmp_path, capsys):
    threads = torch.get_num_threads()
    benchmark.main(
        ["--quick", "--rounds", "1", "--threads", "1", "--only", "one-sided", "--json", str(tmp_path / "a.json")]
    )
    torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["losses"]
    assert [row["name"] for row in rows] == [
        "DiceCELoss",
        "HausdorffDTLoss, one-sided",
        "HausdorffDTLoss, one-sided, cached truth field",
    ]
    printed = capsys.readouterr().out
    assert all(f"| {row['name']} | {row['ratio']:.2f} |" in printed for row in rows)


def test_straightforward_versions_are_the_same_loss():
    batch = benchmark.Batch((20, 18, 6))
    for slow, fast in (
        (benchmark.erosions_by_convolution, HausdorffERLoss(**benchmark.SOFTMAX)),
        (benchmark.balls_by_convolution, HausdorffCVLoss(**benchmark.SOFTMAX, radii=benchmark.SMALL_RADII)),
    ):
        expected, gradients = [], []
        for loss in (slow, fast):
            expected.append(batch.step(loss)())
            gradients.append(batch.logits.grad)
        assert float(expected[0]) > 0
        torch.testing.assert_close(*expected, rtol=1e-4, atol=0)
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)


def test_each_job_is_compared_with_the_reference_beside_it():
    calls = []
    jobs = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    rows = interleaved(jobs, rounds=2)
    assert "".join(calls) == "ab" + 2 * "aaaaab"  # once before; then the reference twice before each
    assert [row["name"] for row in rows] == ["a", "b"]
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in rows)
