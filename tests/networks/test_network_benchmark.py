"""The table of networks: ratios by hand, a run in small, and that the page lists every entry."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_networks", REPOSITORY / "benchmarks" / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def test_ratios_are_medians_of_pairs(benchmark):
    seconds = {"a": [((6.0, 8.0), (2.0, 2.0)), ((9.0, 1.0), (1.0, 1.0)), ((5.0, 6.0), (1.0, 2.0))]}
    (row,) = benchmark._rows({"a": {"_desc_": "What it is. Who et al., arXiv:1"}}, {"a": 1_234_567}, seconds)
    assert row == ["`a`", "What it is", "1.23", "5.00", "3.00", "Who et al., arXiv:1"]


def test_it_measures_and_writes_its_page(benchmark, monkeypatch, tmp_path, capsys):
    page = tmp_path / "networks.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n")
    for name, value in {"PATCH": [64, 64, 1], "VOLUME": (1, 1, 64, 64, 1), "PAGE": page, "REFERENCE": "light"}.items():
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr("sys.argv", ["networks.py", "--only", "light", "fcn", "--write"])
    benchmark.main()
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "old" not in written
    assert "| `light` |" in written
    assert "| `fcn` |" in written
    assert written.splitlines()[2] == capsys.readouterr().out.splitlines()[0]


def test_the_page_lists_the_catalogue():
    entries = json.loads((REPOSITORY / "bundles" / "options" / "networks.json").read_text(encoding="utf-8"))
    page = (REPOSITORY / "docs" / "networks.md").read_text(encoding="utf-8")
    assert [name for name in entries if f"| `{name}` |" not in page] == []
