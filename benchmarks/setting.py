"""What all comparisons start from: data, weights, sizes, and a folder for what they write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
ACDC = REPOSITORY / "bundles" / "acdc"
COVID19 = REPOSITORY / "bundles" / "covid19"


@dataclass
class Setting:
    """Where things are and how much is measured.

    Args:
        work: a folder for everything that is written.
        quick: few turns and small images, to see that everything runs.
        acdc: the real ACDC folder; phantoms are written where there is none.
        weights: of bundles/acdc; else its models/fold0.pt, which never saw the volumes, so that Dice means something.
        ct_weights: of bundles/covid19, target infection; without them random ones, of which no accuracy is told.
        volumes: how many volumes of ACDC are segmented.
    """

    work: Path
    quick: bool = False
    acdc: Path | None = None
    weights: Path | None = None
    ct_weights: Path | None = None
    volumes: int = 10

    @cached_property
    def acdc_root(self) -> Path:
        """The folder of ACDC, or of phantoms in its form."""
        if self.acdc is not None:
            return self.acdc
        from pipeline.phantoms.acdc import write

        write(self.work / "acdc", patients=6, size="small" if self.quick else "full")
        return self.work / "acdc"

    @cached_property
    def acdc_weights(self) -> Path:
        """Trained weights of bundles/acdc, or random ones."""
        found = self.weights or ACDC / "models" / "fold0.pt"
        return found if found.is_file() else random_weights(ACDC, self.work / "acdc.pt")

    @cached_property
    def covid19_weights(self) -> Path:
        """Weights of bundles/covid19, or random ones."""
        return self.ct_weights if self.ct_weights else random_weights(COVID19, self.work / "covid19.pt")

    @cached_property
    def chest(self) -> dict[str, Any]:
        """A chest phantom of 512 x 512 x 400 voxels, with `quick` a small one: its item, with absolute paths."""
        from pipeline.phantoms.covid19 import write

        listed = write(self.work / "chest", patients=2, size="small" if self.quick else "ct")
        item = (listed["testing"] or listed["training"])[0]
        return item | {key: str(self.work / "chest" / item[key]) for key in ("image", "label")}

    @cached_property
    def acdc_list(self) -> dict[str, Any]:
        """The datalist of `acdc_root`, with absolute paths."""
        from pipeline.datalists import resolve_datalist

        path = resolve_datalist(str(self.acdc_root), str(REPOSITORY / "data_lists" / "acdc.json"))
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
        for item in listed["training"]:
            item |= {key: str(self.acdc_root / item[key]) for key in ("image", "label")}
        return listed

    @cached_property
    def acdc_cases(self) -> list[dict[str, Any]]:
        """Volumes of fold 0, which the bundle's weights were not trained on, spread over its patients."""
        held_out = [item for item in self.acdc_list["training"] if item["fold"] == 0]
        count = min(2 if self.quick else self.volumes, len(held_out))
        return [held_out[(i * len(held_out)) // count] for i in range(count)]


def random_weights(bundle: Path, path: Path) -> Path:
    """Write the weights of an untrained network of a bundle's inference.json: for times, not for accuracy."""
    import torch
    from monai.bundle import ConfigParser

    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(str(bundle / "inference.json"))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(parser.get_parsed_content("network_def").state_dict(), path)
    return path
