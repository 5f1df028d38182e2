"""What is said of the losses' curves, from curves made by hand."""

import math

import pandas as pd

from pipeline.report.loss_findings import ERRORS, RADII, findings


def test_a_loss_that_is_not_a_number_is_not_among_those_that_never_fall():
    values = {"steady": (0.0, 1.0, 2.0), "lost": (0.0, math.nan, 2.0), "endless": (0.0, 1.0, math.inf)}
    rows = [
        (name, size, error, strength, 1.0, value, 1.0)
        for name, own in values.items()
        for size in RADII
        for error in ERRORS
        for strength, value in zip((0.0, 0.5, 1.0), own, strict=True)
    ]
    columns = ["loss", "object", "error", "strength", "dice", "value", "gradient"]
    text = findings(pd.DataFrame(rows, columns=columns))
    assert text.count("1 of 3 losses never fall while any of the four errors grows: steady.") == 2
    told = (
        "is not a number somewhere while the error grows, so whether it falls is not known: dilate, erode, shift, flip"
    )
    assert text.count(f"- lost {told}") == text.count(f"- endless {told}") == 2
