"""What each key of inference.json that trades speed for something costs and gains: time and Dice on ACDC volumes."""

from __future__ import annotations

from typing import Any

from benchmarks.acdc import change, dice_of
from benchmarks.comparison import Row, compared, take_turns
from benchmarks.ours import Segmenter
from benchmarks.setting import ACDC, Setting

# what differs from the bundle's own settings with mirroring off
KEYS: dict[str, dict[str, Any]] = {
    "mirror_axes=[0,1]": {"mirror_axes": [0, 1]},
    "cascade=false": {"cascade": False},
    "cascade=false overlap=[0.25,0.25,0]": {"cascade": False, "overlap": [0.25, 0.25, 0.0]},
    "cascade=false overlap=[0,0,0]": {"cascade": False, "overlap": [0.0, 0.0, 0.0]},
    "sw_batch_size=1": {"sw_batch_size": 1},
    "sw_batch_size=4": {"sw_batch_size": 4},
    "precision=fp32": {"precision": "fp32"},
    "largest_component=false": {"largest_component": False},
    "single_piece=[]": {"single_piece": []},
}
QUICK = ("cascade=false", "precision=fp32")


def rows(setting: Setting) -> list[Row]:
    """One row for each key: time as a multiple of the bundle's own settings (mirroring off), and the Dice of both."""
    cases = setting.acdc_cases
    keys = {name: KEYS[name] for name in (QUICK if setting.quick else KEYS)}
    folder = setting.work / "prices"
    jobs = {"own": Segmenter(ACDC, setting.acdc_weights, folder / "own")}
    for number, (name, overrides) in enumerate(keys.items()):
        jobs[name] = Segmenter(ACDC, setting.acdc_weights, folder / str(number), **overrides)
    turns = take_turns(jobs, cases, what="keys")
    dice = {name: [dice_of(mask, case) for mask, case in zip(turns.results[name], cases, strict=True)] for name in jobs}
    return [
        compared(
            turns, name, "own", kind="cost", name=f"key {name}", what=f"`{name}`",
            against="the bundle's own settings, mirroring off", accuracy=change(dice[name], dice["own"])[0],
        )
        for name in keys
    ]  # fmt: skip
