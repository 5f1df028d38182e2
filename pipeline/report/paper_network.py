"""Figure 1 of the paper: the network as it is, drawn from the layers that one slice passes through."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.experiment.collection import Result
from pipeline.report.experiment_document import Figure
from pipeline.report.figures import Picture
from pipeline.report.paper_curves import draw_both
from pipeline.report.style import GREY, INK

KINDS = {"conv": "#0072B2", "up": "#009E73", "out": "#CC79A7"}
POOL, COPY = "#D55E00", "#9aa4ae"


@dataclass(frozen=True)
class Layer:
    """One convolution: "conv", "up" (transposed) or "out" (1x1).

    Args:
        channels, size: of its output.
        taken: channels of its input.
    """

    kind: str
    channels: int
    size: int
    taken: int


def network_figure(result: Result) -> Figure:
    """Draw the network of a run, in its own width.

    Raises:
        Exception: whatever building the network from its configuration raises.
    """
    layers, parameters, side = read_layers(result)
    png, svg = draw_both(lambda axes: _draw(axes[0, 0], layers, side), size=(11, 5.6))
    counts = f"{len(layers)} convolutions, {parameters / 1e6:.1f} million parameters"
    norm = result.resolved.get("norm")
    added = (
        f"each convolution followed by {str(norm).lower()} normalisation (not in the paper) and ReLU" if norm else ""
    )
    caption = (
        f"Figure 1: the U-Net as trained here, read from the module: {counts}, {added or 'no normalisation'}. Numbers: "
        "channels above a map, height and width under it. Padded convolutions, so the answer is as large as "
        "the image."
    )
    alt = "The U-Net: maps as boxes in the shape of a U, from the image down to the smallest map and up to the classes."
    return Figure(Picture("figure_1", png, alt, caption, wide=True), svg)


def read_layers(result: Result) -> tuple[list[Layer], int, int]:
    """The convolutions in the order in which a slice passes them, the number of parameters, and the slice's side."""
    import torch
    from monai.bundle import ConfigParser

    parser = ConfigParser(ConfigParser.load_config_files(result.run.train_files))
    parser.update(dict(result.run.settings))
    side = int(parser.get_parsed_content("patch_size")[0])
    found: list[Layer] = []

    def note(module: Any, inputs: Any, output: Any) -> None:
        transposed = isinstance(module, torch.nn.ConvTranspose2d | torch.nn.ConvTranspose3d)
        kind = "up" if transposed else ("out" if max(module.kernel_size) == 1 else "conv")
        found.append(Layer(kind, output.shape[1], output.shape[2], inputs[0].shape[1]))

    with torch.device("meta"):
        network = parser.get_parsed_content("network_def").to("meta").eval()
        for module in network.modules():
            if isinstance(module, torch.nn.modules.conv._ConvNd):
                module.register_forward_hook(note)
        channels = int(parser.get_parsed_content("in_channels"))
        network(torch.zeros(1, channels, side, side, 1))
    return found, sum(p.numel() for p in network.parameters()), side


def _draw(axes: Any, layers: list[Layer], side: int) -> None:
    """Boxes in the shape of a U: height by map size, width by channels; arrows for what is done between them."""
    from matplotlib.patches import FancyArrowPatch, Rectangle

    axes.set_axis_off()
    x, boxes = 0.0, [(0.0, _level(side, side), 0.16, layers[0].taken, side, "image")]
    for layer in layers:
        x += 1.25 if layer.size != boxes[-1][4] else 0.95
        boxes.append(
            (
                x,
                _level(layer.size, side),
                0.12 + 0.05 * math.log2(layer.channels + 1),
                layer.channels,
                layer.size,
                layer.kind,
            )
        )
    for px, level, width, channels, size, kind in boxes:
        height = 0.22 + 0.62 * size / side
        colour = KINDS.get(kind, GREY)
        axes.add_patch(
            Rectangle((px - width / 2, -level - height / 2), width, height, fc=colour + "33", ec=colour, lw=1.2)
        )
        axes.text(px, -level + height / 2 + 0.04, str(channels), ha="center", va="bottom", fontsize=7, color=INK)
    for one, other in itertools.pairwise(boxes):
        pooled = other[4] < one[4]
        colour = POOL if pooled else KINDS.get(other[5], GREY)
        ends = (one[0] + one[2] / 2, -one[1]), (other[0] - other[2] / 2, -other[1])
        axes.add_patch(
            FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=8, color=colour, lw=1.1, shrinkA=1, shrinkB=1)
        )
    _copies(axes, boxes, layers)
    for level, size in sorted({(box[1], box[4]) for box in boxes}):
        left = min(box[0] for box in boxes if box[1] == level)
        under = -level - 0.11 - 0.31 * size / side - 0.05
        axes.text(left, under, f"{size} x {size}", ha="center", va="top", fontsize=7, color=GREY)
    _legend(axes)
    axes.set(xlim=(-1.2, x + 0.8), ylim=(-max(box[1] for box in boxes) - 0.7, 0.85))


def _copies(axes: Any, boxes: list[tuple], layers: list[Layer]) -> None:
    """A grey line from each map that a later convolution takes again to the map beside which it takes it."""
    from matplotlib.patches import FancyArrowPatch

    for index, layer in enumerate(layers):
        before = boxes[index]
        if layer.kind != "conv" or layer.taken <= before[3]:
            continue
        sources = [box for box in boxes[: index - 1] if box[4] == layer.size and box[3] == layer.taken - before[3]]
        if sources:
            source, level = sources[-1], boxes[index + 1][1]
            ends = (source[0] + source[2] / 2, -level + 0.1), (before[0] - before[2] / 2, -level + 0.1)
            axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=8, color=COPY, lw=1, ls="--"))


def _legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    words = {
        "3 x 3 convolution": KINDS["conv"],
        "2 x 2 max pooling": POOL,
        "2 x 2 up-convolution": KINDS["up"],
        "1 x 1 convolution": KINDS["out"],
        "copied and concatenated": COPY,
    }
    lines = [Line2D([], [], color=colour, lw=2, label=word) for word, colour in words.items()]
    axes.legend(handles=lines, loc="lower right", fontsize=8)


def _level(size: int, side: int) -> float:
    return float(np.log2(side / size))
