"""How a bundle's scores change when the scans do: `python -m benchmarks.robustness path/to/acdc --out runs/robustness`.

Each entry of the catalogue of perturbations is done to the images (and, where they move, to the truths) of one fold,
which are written as files, segmented as a user would (`volseg segment`) and scored on their own grid.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from monai.bundle import ConfigParser
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SaveImage
from monai.utils import set_determinism
from tqdm import tqdm

from pipeline import datalists
from pipeline.files import refuse_existing, write_text
from pipeline.metrics.scoring import score_folders
from pipeline.segmentation.segment import segment
from pipeline.volumes.readers import VolumeReader

REPOSITORY = Path(__file__).resolve().parents[1]
CATALOGUE = REPOSITORY / "bundles" / "options" / "perturbations.json"


def main() -> None:
    """Measure the chosen perturbations, write and print the table."""
    chosen = _arguments()
    if not chosen.overwrite:
        refuse_existing([chosen.out])
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    datalist = datalists.resolve_datalist(chosen.dataset_dir, chosen.datalist)
    items = datalists.items(
        datalist, dataset_dir=chosen.dataset_dir, fold=chosen.fold, side="validation", limit=chosen.limit
    )
    rows = []
    for name in tqdm(chosen.only or list(catalogue), unit="perturbation"):
        folder = chosen.out / name
        _write_cases(items, catalogue[name], folder)
        segment([folder / "images"], folder / "masks", bundle=chosen.bundle, weights=chosen.weights, overwrite=True)
        truths, scores = folder / "labels", folder / "scores"
        score_folders(folder / "masks", truths, scores, labels=_labels(chosen.bundle), overwrite=True)
        rows.append({"perturbation": catalogue[name]["_desc_"], **_dice(scores / "scores.csv")})
    table = _markdown(pd.DataFrame(rows))
    write_text(chosen.out / "robustness.md", table + "\n", overwrite=True)
    print(table)


def _write_cases(items: list[dict[str, Any]], entry: Mapping[str, Any], folder: Path) -> None:
    """The changed images and truths of every case, as NIfTI files of the case's name."""
    set_determinism(0)
    parser = ConfigParser({"imports": ["$import torch"], "change": {k: v for k, v in entry.items() if k != "_desc_"}})
    load = [LoadImaged(key, reader=VolumeReader(labels=key == "label")) for key in ("image", "label")]
    change = Compose([*load, EnsureChannelFirstd(("image", "label")), parser.get_parsed_content("change")])
    dtypes = {"image": "float32", "label": "uint8"}
    save = {key: SaveImage(output_dtype=dtype, resample=False, print_log=False) for key, dtype in dtypes.items()}
    for item in items:
        case = change(item)
        for key in dtypes:
            (folder / f"{key}s").mkdir(parents=True, exist_ok=True)
            save[key](case[key], filename=folder / f"{key}s" / item["case"])


def _labels(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "inference.json").read_text(encoding="utf-8"))["labels"]


def _dice(scores: Path) -> dict[str, float]:
    table = pd.read_csv(scores)
    return table.groupby("structure", sort=False)["dice"].mean().to_dict()


def _markdown(rows: pd.DataFrame) -> str:
    rows = rows.assign(change=rows["mean"] - rows["mean"].iloc[0])
    body = rows.to_dict("records")
    columns = list(rows.columns)
    lines = [" | ".join(columns), " | ".join("---:" if name != "perturbation" else "---" for name in columns)]
    lines += [" | ".join(v if isinstance(v, str) else f"{v:.3f}" for v in row.values()) for row in body]
    return "\n".join(f"| {line} |" for line in lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("dataset_dir", type=Path, help="the data set")
    parser.add_argument("--datalist", default="data_lists/acdc.json")
    parser.add_argument("--bundle", type=Path, default=REPOSITORY / "bundles" / "acdc")
    parser.add_argument("--weights", type=Path, nargs="+", help="else the bundle's own; several are averaged")
    parser.add_argument("--fold", type=int, default=0, help="held-out fold of the weights")
    parser.add_argument("--limit", type=int, help="only this many cases")
    parser.add_argument("--only", nargs="*", help="names of the catalogue")
    parser.add_argument("--out", type=Path, required=True, help="folder for files, scores and the table")
    parser.add_argument("--overwrite", action="store_true", help="measure again into a folder that is there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
