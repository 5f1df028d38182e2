"""`python -m benchmarks`: every comparison in one run, as a table and, where asked for, as JSON and in the docs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.comparison import Row, markdown
from benchmarks.page import put
from benchmarks.setting import Setting
from pipeline.files import write_text

BENCH = ("acdc", "scores", "training_step", "startup", "prices")
BENCH_CT = ("ct", "growth")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print it, and with --json and --write keep it."""
    chosen = _arguments(arguments)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    from benchmarks.machine import describe, sentence

    found: dict[str, Any] = {"machine": describe(), "quick": chosen.quick}
    told = sentence(found["machine"])
    with tempfile.TemporaryDirectory(prefix="volseg_benchmark_") as work:
        setting = Setting(
            Path(work), quick=chosen.quick, acdc=chosen.acdc, weights=chosen.weights, ct_weights=chosen.ct_weights,
            volumes=chosen.volumes,
        )  # fmt: skip
        found["data"] = "real ACDC" if chosen.acdc else "ACDC phantoms"
        tables: dict[str, str] = {}
        for name in chosen.only or (BENCH_CT if chosen.ct else BENCH):
            tqdm.write(f"==> {name}")
            tables[name] = _study(name, setting, found, draw=chosen.write)
            print(f"\n{tables[name]}\n", flush=True)
    told = f"{told} Volumes: {found['data']}."
    print(told)
    if chosen.json:
        write_text(chosen.json, json.dumps(found, indent=1) + "\n", overwrite=True)
    if chosen.write:
        for name, table in tables.items():
            put(name, f"{table}\n\n{told}")


def _study(name: str, setting: Setting, found: dict[str, Any], *, draw: bool) -> str:
    if name == "growth":
        from benchmarks import growth

        found[name] = growth.studies(setting)
        if draw:
            growth.plot(found[name])
        return growth.markdown(found[name])
    rows = _rows(name)(setting)
    found[name] = [row.as_json() for row in rows]
    return markdown(rows)


def _rows(name: str) -> Callable[[Setting], list[Row]]:
    from importlib import import_module

    return import_module(f"benchmarks.{name}").rows


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images and few turns, to see that everything runs")
    parser.add_argument(
        "--ct", action="store_true", help=f"the long ones ({', '.join(BENCH_CT)}) instead of the others"
    )
    parser.add_argument("--only", nargs="*", choices=BENCH + BENCH_CT, help="these alone")
    parser.add_argument("--acdc", type=_acdc, default=os.environ.get("VOLSEG_ACDC") or None,
                        help="the real ACDC folder, with training/; default $VOLSEG_ACDC, else phantoms")  # fmt: skip
    parser.add_argument("--weights", type=_weights, help="of bundles/acdc, instead of its models/fold0.pt")
    parser.add_argument("--ct-weights", type=_weights, help="of bundles/covid19; default random ones")
    parser.add_argument("--volumes", type=int, default=10, help="volumes of ACDC that are segmented, default 10")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.acdc = None
    return chosen


def _acdc(text: str) -> Path:
    if not (Path(text) / "training").is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected a folder that holds training/, found none")
    return Path(text)


def _weights(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text}: expected a file of weights, found none")
    return Path(text)


if __name__ == "__main__":
    main()
