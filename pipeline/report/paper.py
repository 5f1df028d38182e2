"""The report of the paper's experiment: its table and figures beside ours, and whether its claims hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from pipeline.experiment import paper
from pipeline.experiment.collection import Collection
from pipeline.report.document import Bullets, Document, Figure, Section, Table, Text, as_list
from pipeline.report.experiment_folds import folds_section
from pipeline.report.experiment_sections import consistency, in_words, runs_section, warnings
from pipeline.report.paper_claims import band_table, size_table
from pipeline.report.paper_curves import curve_figure, late_epochs_table
from pipeline.report.paper_network import network_figure
from pipeline.report.paper_samples import sample_figure
from pipeline.report.paper_table_one import table_one
from pipeline.report.paper_tables import (
    DataResults,
    averaging_table,
    loss_name,
    significance_table,
    split_by_data,
    spread_table,
    verdict,
)

Blocks = list[Table | Text | Bullets | Figure]
logger = logging.getLogger("pipeline")

# what the paper leaves open, and what each bundle's paper.json says about it by these keys
UNSTATED = {
    "batch_size": "images in a batch",
    "norm": "network normalisation (without one, Adam at 0.01 may collapse to all background)",
    "intensity": "grey values: zscore or unit of each volume, or the CT window",
    "fit": "how images become 256 x 256: stretch, or pad_crop",
    "augment": "random transforms in training",
    "lr_power": "decay of the learning rate (0: none)",
    "weight_decay": "weight decay",
    "dice_over_batch": "Dice loss over the batch, not image by image",
    "dice_background": "the background in the Dice loss",
    "chosen_epoch": "which weights are scored: last, or best (chosen on the scored fold, so optimistic)",
    "background_in_mean": "the background in mean Dice and IoU",
}


def paper_document(collection: Collection) -> Document:
    """The whole report; figures that cannot be drawn leave a sentence that says why."""
    data = split_by_data(collection)
    full = [part for part in data if not part.reduced]
    reduced = [part for part in data if part.reduced]
    steps: list[Callable[[], Section]] = [
        lambda: Section("short", "In short", [*warnings(collection), *_short(full, reduced)]),
        lambda: Section("table1", "Table 1", _table_one(full, reduced)),
        lambda: Section("real", "Is the difference real?", _tests(significance_table(data), data)),
        lambda: Section("samples", "Figures 2 and 3: five held-out samples", _samples(data)),
        lambda: Section("curves", "Figures 4 and 5: over the epochs", _curves(data)),
        lambda: Section("edges", "Edges", [_claim("at edges"), *_tests(band_table(data), data)]),
        lambda: Section("small", "Small targets", [_claim("small targets"), *_tests(size_table(data), data)]),
        lambda: Section("averaging", "How one averages", _averaging(collection, data)),
        lambda: Section("network", "Figure 1: the network", [_attempt("Figure 1", network_figure, data[0].any)]),
        lambda: Section("protocol", "What the paper states, and what it does not", _protocol(data)),
        lambda: runs_section(collection),
    ]
    sections = [step() for step in tqdm(steps, desc="report", leave=False)]
    names = {part.level: part.name for part in data}
    sections[-2:-2] = folds_section(
        collection, called=lambda levels: f"{names[dict(levels)['dataset']]}, {loss_name(dict(levels)['alpha'])}"
    )
    lead = "Every number is computed from the score files and masks of the runs listed at the end."
    return Document(collection.grid.title, lead, sections)


def _short(full: Sequence[DataResults], reduced: Sequence[DataResults]) -> Blocks:
    blocks: Blocks = [Bullets([verdict(part) for part in full])]
    if not full:
        blocks = [Text("No run of the paper's full protocol is among these: its claim is not tested here in full.")]
    if reduced:
        blocks += [
            Text("Runs of reduced size or on phantoms, which can neither prove nor refute what the paper claims:"),
            Bullets([f"{verdict(part)} Reduced: {as_list(part.reduced)}." for part in reduced]),
        ]
    return [*blocks, *_remarks([*full, *reduced])]


def _remarks(data: Sequence[DataResults]) -> list[Text]:
    found = [paper.dataset_of(part.level) for part in data]
    remarks = [entry.remark for entry in found if entry and entry.remark]
    if any(part.who == "images" for part in data):
        remarks.append("Where a set does not tell its patients, each image counts as one; some may be of one patient.")
    return [Text(" ".join(dict.fromkeys(remarks)), kind="soft")] if remarks else []


def _table_one(full: Sequence[DataResults], reduced: Sequence[DataResults]) -> Blocks:
    caption = (
        "The paper's Table 1 and our runs of its full protocol: means over the slices of held-out patients. Bold, with "
        "an arrow: better than cross entropy alone. A dash: no such run."
    )
    blocks: Blocks = [table_one(full, caption=caption, beside_paper=True)]
    if reduced:
        told = "; ".join(f"{part.name}: {as_list(part.reduced)}" for part in reduced)
        caption = f"Runs of reduced size, never to be set beside the paper's. {told}."
        blocks.append(table_one(reduced, caption=caption, beside_paper=False))
    return [*blocks, spread_table([*full, *reduced]), *_remarks([*full, *reduced])]


def _claim(where: str) -> Text:
    return Text(f"The paper says that Dice helps {where} above all.")


def _tests(found: tuple[Table, dict[str, list[str]]], data: Sequence[DataResults]) -> Blocks:
    """A table of tests, and under it by data set the sentences that say what they mean."""
    table, told = found
    blocks: Blocks = [table]
    for part in data:
        blocks += [Text(f"{part.name}:"), Bullets(told[part.level])] if part.level in told else []
    return blocks


def _samples(data: Sequence[DataResults]) -> Blocks:
    return [_attempt(f"Figures 2 and 3, {part.name}", sample_figure, part, "2 and 3") for part in data]


def _curves(data: Sequence[DataResults]) -> Blocks:
    numbers = {"covid19": "4", "lungs": "4b", "acdc": "5"}
    numbered = [(numbers[part.level.removesuffix(paper.PHANTOMS)], part) for part in data]
    numbered.sort(key=lambda pair: pair[0])
    late = late_epochs_table([part for _, part in numbered])
    return [
        *(_attempt(f"Figure {number}", curve_figure, part, number) for number, part in numbered),
        *([late] if late else []),
    ]


def _attempt(what: str, draw: Callable[..., Figure], *arguments: Any) -> Figure | Text:
    """The figure, or why there is none: a lost image must not cost the report its numbers."""
    try:
        return draw(*arguments)
    except Exception as error:
        logger.warning("%s could not be drawn: %s", what, error)
        return Text(f"{what} could not be drawn: {error}", kind="warn")


def _averaging(collection: Collection, data: Sequence[DataResults]) -> Blocks:
    open_question = (
        "The paper does not say how it averaged. The same masks, averaged in six ways. The way of averaging can change "
        "the numbers more than the loss does."
    )
    means = (
        "Between means it does not hold, and should not: a mean IoU lies above what the mean Dice would give. In the "
        "paper's rows it lies .007 to .009 above, so they are means over images."
    )
    return [Text(open_question), averaging_table(data), consistency(collection.results), Text(means, kind="soft")]


def _protocol(data: Sequence[DataResults]) -> Blocks:
    stated = {**paper.PROTOCOL, "optimizer": "Adam", "alpha": "0 and 1"}
    words = [f"{key} {paper.spoken(value)}" for key, value in stated.items() if value is not None]
    rows = [
        [key, meaning, *(in_words(part.any.resolved.get(key, "–")) for part in data)]
        for key, meaning in UNSTATED.items()
    ]
    table = Table(
        "What the paper leaves open: each is a key of bundles/*/paper.json, to be changed by --set KEY=VALUE. The "
        "split is by patient (fold of the datalist), and the seed is a key too.",
        ["key", "what it decides", *(part.name for part in data)],
        rows,
    )
    deviation = (
        "Deviations from the paper's words: batch normalisation after each convolution (it names none), and padded "
        "convolutions, so that answers have the images' size (it says unpadded, and gives no size of the answers); the "
        "last up-convolution does not halve its channels, as MONAI's BasicUNet has it."
    )
    stated_words = f"Stated: {', '.join(words)} (its figure 1 is the U-Net of 2015, 64 channels at the top)."
    return [Text(stated_words), Text(deviation), table]
