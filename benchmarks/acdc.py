"""One ACDC volume segmented, end to end: against the bare network, MONAI's stock classes and nnU-Net's predictor."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison import Row, Turns, compared, not_measured, take_turns
from benchmarks.monai_stock import StockMonai
from benchmarks.nnunet import NNUNet
from benchmarks.ours import BareNetwork, Segmenter, as_shipped, without_output
from benchmarks.setting import ACDC, Setting
from pipeline.inferers import cpu_has_bf16

BARE = "the bare network's float32 forward on the same windows"
WHAT = "segment one ACDC volume, end to end without start-up"
LARGEST_CHANGE = 0.001
SAME = "same network, weights and window size, mirroring and clean-up off; the peer has windows everywhere, overlap 0.5"


def rows(setting: Setting) -> list[Row]:
    """The three comparisons, on the same volumes in turns."""
    cases, weights = setting.acdc_cases, setting.acdc_weights
    bare = BareNetwork(weights, **as_shipped(ACDC))
    for case in cases:
        bare.prepare(case)
    native = cpu_has_bf16(torch.device("cpu"))
    sides = segmenters(setting, weights)
    jobs: dict[str, Callable[[Mapping[str, Any]], Any]] = {**sides, "bare": bare}
    if native:
        jobs["bare_bf16"] = bare.in_bf16
    turns = take_turns(jobs, cases, what="ACDC")
    dice = {name: [dice_of(mask, case) for mask, case in zip(turns.results[name], cases, strict=True)]
            for name in sides}  # fmt: skip
    found = [
        compared(
            turns, "bundle", "bare", kind="cost", name="acdc_bare", what=WHAT, against=BARE,
            target=0.7 if native else 1.15, accuracy=_mean("mean Dice", dice["bundle"]),
            note=f"{len(cases)} volumes, as `volseg segment` does it; median {stages(sides['bundle'])}",
        )
    ]  # fmt: skip
    if native:
        found.append(compared(turns, "bare_bf16", "bare", kind="cost", name="acdc_bf16", against=BARE,
                              what="the bare network's bf16 forward, the least that is possible"))  # fmt: skip
    found.append(_peer(turns, dice, "stock", "MONAI's stock arrangement", 4.0))
    if "nnunet" in jobs:
        return [*found, _peer(turns, dice, "nnunet", "nnU-Net's predictor", 3.0)]
    why = "nnunetv2 is not installed (make bench installs it)"
    return [*found, not_measured(why, name="acdc_nnunet", what=WHAT, against="nnU-Net's predictor", kind="gain",
                                 target=3.0)]  # fmt: skip


def segmenters(setting: Setting, weights: Path) -> dict[str, Any]:
    """Each side: item -> path of its mask."""
    folder = setting.work / "masks"
    jobs: dict[str, Any] = {
        "bundle": Segmenter(ACDC, weights, folder / "bundle", **as_shipped(ACDC)),
        "plain": Segmenter(ACDC, weights, folder / "plain", largest_component=False, single_piece=[]),
        "stock": StockMonai(ACDC, weights, folder / "stock"),
    }
    with contextlib.suppress(ImportError):
        jobs["nnunet"] = without_output(without_output(lambda out: NNUNet(weights, out))(folder / "nnunet"))
    return jobs


def dice_of(mask: Path, case: Mapping[str, Any]) -> float:
    """Mean Dice of the structures of a mask against the case's truth."""
    from pipeline.metrics.cases import score_case
    from pipeline.volumes import read_mask

    score = score_case(read_mask(mask), read_mask(case["label"]), (1, 1, 1), {"RV": 1, "MYO": 2, "LV": 3})
    return float(score.structures[-1]["dice"])


def stages(segmenter: Segmenter) -> str:
    """Median milliseconds of each stage over all calls, in words."""
    return ", ".join(
        f"{stage} {1000 * statistics.median(call[stage] for call in segmenter.stages):.0f} ms"
        for stage in segmenter.stages[0]
    )


def change(ours: list[float], theirs: list[float]) -> tuple[str, float]:
    """Both mean Dice in words, and by how much ours differs."""
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    return f"mean Dice {statistics.fmean(ours):.4f} / {statistics.fmean(theirs):.4f} ({difference:+.4f})", difference


def _peer(turns: Turns, dice: dict[str, list[float]], name: str, against: str, target: float | None = None) -> Row:
    accuracy, difference = change(dice["plain"], dice[name])
    failed = []
    if target is not None and difference < -LARGEST_CHANGE:
        failed = [f"mean Dice is {-difference:.4f} lower, more than {LARGEST_CHANGE}"]
    return compared(
        turns, "plain", name, kind="gain", name=f"acdc_{name}", what=WHAT, against=against, target=target,
        accuracy=accuracy, failed=failed, note=SAME if name == "stock" else "",
    )  # fmt: skip


def _mean(what: str, values: list[float]) -> str:
    return f"{what} {statistics.fmean(values):.4f}"
