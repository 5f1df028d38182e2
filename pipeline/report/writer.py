"""From a folder of score files to report.html, report.md and figures/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from pipeline.errors import DataError
from pipeline.files import refuse_existing, write_bytes, write_text
from pipeline.metrics.clinical import agreement_table
from pipeline.metrics.scores import Scores, read_scores
from pipeline.report.clinical import agreement_plot
from pipeline.report.curves import Epochs, draw_dice, draw_loss, read_log
from pipeline.report.figures import Picture, box_plot
from pipeline.report.lesions import lesion_plots
from pipeline.report.markdown import markdown_report
from pipeline.report.overlays import Choice, choose_cases, overlay
from pipeline.report.page import Pictures, render_page
from pipeline.report.style import colours, draw_png
from pipeline.report.tables import levels_of, structures_of


def write_report(
    scores_dir: str | Path,
    out: str | Path | None = None,
    *,
    run_dir: str | Path | None = None,
    title: str = "Segmentation report",
    overwrite: bool = False,
) -> Path:
    """Make the report of one evaluation.

    Args:
        scores_dir: folder with scores.csv and scores.json (and slices.csv, clinical.csv, cases.json).
        out: the page; default `scores_dir`/report.html. Beside it go the same name with .md and figures/*.png.
        run_dir: folder of the training, whose log.jsonl gives the learning curves.
        title: of the page.
        overwrite: replace an older report.

    Returns:
        The path of the page.

    Raises:
        DataError: the score files or the log are absent or unreadable, or a file is there already.
    """
    page = Path(out) if out else Path(scores_dir) / "report.html"
    markdown = page.with_suffix(".md")
    if not overwrite:
        refuse_existing([page, markdown])
    scores = read_scores(scores_dir)
    epochs = read_log(Path(run_dir) / "log.jsonl") if run_dir else []
    pictures = draw_all(scores, epochs)
    files = {f"figures/{picture.name}.png": picture.png for picture in pictures.all()}
    if not overwrite:
        refuse_existing(page.parent / name for name in files)
    for name, png in files.items():
        write_bytes(page.parent / name, png, overwrite=True)
    write_text(markdown, markdown_report(scores, title=title), overwrite=True)
    return write_text(page, render_page(scores, pictures, title=title), overwrite=True)


def draw_all(scores: Scores, epochs: Epochs) -> Pictures:
    """Every figure of the report; a case whose files cannot be drawn keeps its place, with the reason."""
    pictures = Pictures()
    steps = list(_steps(scores, epochs, pictures))
    for step in tqdm(steps, desc="figures", leave=False):
        step()
    return pictures


def _steps(scores: Scores, epochs: Epochs, pictures: Pictures) -> Iterator[Callable[[], None]]:
    if len(scores.cases):
        for metric in ("dice", "hd95_mm"):
            yield lambda metric=metric: pictures.boxes.append(box_plot(scores, metric, by="phase"))
        if len(levels_of(scores, "group")) > 1:
            yield lambda: pictures.boxes.append(box_plot(scores, "dice", by="group"))
    for choice in choose_cases(scores):
        yield lambda choice=choice: pictures.cases.append((choice, _overlay(scores, choice)))
    for row in agreement_table(scores.clinical) if scores.clinical is not None else []:
        yield lambda row=row: pictures.clinical.append(agreement_plot(scores.clinical, row))
    palette = colours(structures_of(scores))
    for name in scores.lesions.organs if scores.lesions else []:
        yield lambda name=name: pictures.lesions.extend(lesion_plots(scores.lesions, name, colour=palette[name]))
    if epochs:
        yield lambda: pictures.curves.extend(_curves(epochs))


def _overlay(scores: Scores, choice: Choice) -> Picture | str:
    try:
        return overlay(scores, choice)
    except (DataError, OSError, ValueError) as error:  # a lost image must not cost the report its numbers
        return str(error)


def _curves(epochs: Epochs) -> list[Picture]:
    """Loss and Dice as two pictures, since a phone shows one beside the other too small to read."""
    last = epochs[-1]["epoch"]
    parts = [
        ("curve_loss", draw_loss, f"Training loss over {last} epochs."),
        ("curve_dice", draw_dice, f"Validation Dice of each structure over {last} epochs, best epoch marked."),
    ]
    return [
        Picture(name, draw_png(lambda axes, draw=draw: draw(axes[0, 0], epochs), size=(5, 3.6)), text, text)
        for name, draw, text in parts
    ]
