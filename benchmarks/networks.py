"""Parameters and time of every network of the catalogue, as multiples of nnU-Net's: docs/networks.md."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also without an installation

from pipeline.files import write_text

REPOSITORY = Path(__file__).resolve().parents[1]
CATALOGUE = "bundles/options/networks.json"
PAGE = REPOSITORY / "docs" / "networks.md"
BEGIN, END = "<!-- begin of the generated table -->", "<!-- end of the generated table -->"
REFERENCE = "dynunet"
Seconds = tuple[float, float]  # for a volume, and for a training step
PATCH, VOLUME = [160, 160, 1], (1, 1, 240, 240, 10)


def main() -> None:
    """Measure, print the table, and with --write put it into the page."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    entries = json.loads((REPOSITORY / CATALOGUE).read_text(encoding="utf-8"))
    names = arguments.only or list(entries)
    parameters: dict[str, int] = {}
    seconds: dict[str, list[tuple[Seconds, Seconds]]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        for name in tqdm(names, desc=f"round {number + 1} of {arguments.rounds}", unit="network"):
            reference, _ = _measured(REFERENCE)
            own, parameters[name] = _measured(name)
            seconds[name].append((own, reference))
    table = _table(_rows(entries, parameters, seconds), seconds, arguments)
    print(table)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        write_text(PAGE, f"{before}{BEGIN}\n{table}\n{END}{after}", overwrite=True)


def _measured(name: str) -> tuple[Seconds, int]:
    """Seconds of an entry at full width, and its number of parameters."""
    network, inferer = _built(name)
    parameters = sum(p.numel() for p in network.parameters())
    return (_volume(network, inferer), _step(network)), parameters


def _built(name: str) -> tuple[torch.nn.Module, Any]:
    """The entry at full width in bundles/acdc's inference, float32, no mirrors."""
    from monai.bundle import ConfigParser

    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(str(REPOSITORY / "bundles" / "acdc" / "inference.json"))
    parser.update({
        "device": "$torch.device('cpu')", "neighbours": 0, "out_channels": 4, "patch_size": PATCH,
        "precision": "fp32", "mirror_axes": [], "network_def": f"%{REPOSITORY / CATALOGUE}::{name}",
    })  # fmt: skip
    return parser.get_parsed_content("network").eval(), parser.get_parsed_content("inferer")


def _volume(network: torch.nn.Module, inferer: Any) -> float:
    """Seconds for ten slices of 240 x 240 by overlapping windows."""
    x = torch.randn(VOLUME)
    start = time.process_time()
    with torch.no_grad():
        inferer(x, network)
    return time.process_time() - start


def _step(network: torch.nn.Module) -> float:
    """Seconds for forward and backward of four windows."""
    x = torch.randn(4, 1, *PATCH)
    start = time.process_time()
    network.train()(x).square().mean().backward()
    return time.process_time() - start


def _rows(
    entries: dict[str, Any], parameters: dict[str, int], seconds: dict[str, list[tuple[Seconds, Seconds]]]
) -> list[list[str]]:
    """Ratios to the reference that was measured just before, their median over the rounds."""
    rows = []
    for name, pairs in seconds.items():
        ratios = [statistics.median(own[i] / reference[i] for own, reference in pairs) for i in range(2)]
        what, _, source = entries[name]["_desc_"].rpartition(". ")
        millions = f"{parameters[name] / 1e6:.2f}"
        rows.append([f"`{name}`", what, millions, *(f"{ratio:.2f}" for ratio in ratios), source])
    return sorted(rows, key=lambda row: float(row[3]))


def _table(
    rows: list[list[str]], seconds: dict[str, list[tuple[Seconds, Seconds]]], arguments: argparse.Namespace
) -> str:
    head = ["entry", "network", "parameters (millions)", "time per volume", "time per training step", "source"]
    lines = [" | ".join(head), " | ".join(["---", "---", "---:", "---:", "---:", "---"]), *map(" | ".join, rows)]
    once = statistics.median(reference[0] for pairs in seconds.values() for _, reference in pairs)
    told = (
        f"Times are multiples of `{REFERENCE}`, measured just before each (median of "
        f"{arguments.rounds}): processor time, float32, torch {torch.__version__.split('+')[0]}, threads: "
        f"{arguments.threads}. Volume: 10 slices of 240 x 240 in windows of 160 x 160 that overlap by half, {once:.1f} "
        f"s for `{REFERENCE}`. Step: forward and backward of four windows."
    )
    return "\n".join([*(f"| {line} |" for line in lines), "", told])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="each network once per round")
    parser.add_argument(
        "--threads", type=int, default=1, help="processor time of several threads counts their waiting too"
    )
    parser.add_argument("--only", nargs="*", help="entries, default all")
    parser.add_argument("--write", action="store_true", help="put the table into docs/networks.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
