"""Figure 1 of the paper: the network as it is, drawn from the layers that one slice passes through."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from pipeline.experiment.collection import Result
from pipeline.report.document import Figure
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


@dataclass(frozen=True)
class Box:
    """A map as it is drawn: the middle of its box, how often it is halved, the box's width; and what it is."""

    x: float
    level: float
    width: float
    channels: int
    size: int
    kind: str

    @property
    def left(self) -> float:
        """Its left edge."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width / 2


def network_figure(result: Result) -> Figure:
    """Draw the network of a run, in its own width.

    Raises:
        Exception: whatever building the network from its configuration raises.
    """
    layers, parameters, side = read_layers(result)
    png, svg = draw_both(lambda axes: _draw(axes[0, 0], layers, side), size=(11, 5.6))
    counts = f"{len(layers)} convolutions, {parameters / 1e6:.1f} million parameters"
    norm, added = result.resolved.get("norm"), "no normalisation"
    if norm:
        added = f"each convolution followed by {str(norm).lower()} normalisation (not in the paper) and ReLU"
    caption = (
        f"Figure 1: the U-Net as trained here, read from the module: {counts}, {added}. Numbers: "
        "channels above a map, height and width under it. Padded convolutions, so the answer is as large as "
        "the image."
    )
    alt = "The U-Net: maps as boxes in the shape of a U, from the image down to the smallest map and up to the classes."
    return Figure(Picture("figure_1", png, alt, caption), svg)


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


def _boxes(layers: list[Layer], side: int) -> list[Box]:
    """The image and each layer's map, from the left to the right, deeper by one for each halving."""
    boxes = [Box(0.0, 0.0, 0.16, layers[0].taken, side, "image")]
    for layer in layers:
        x = boxes[-1].x + (1.25 if layer.size != boxes[-1].size else 0.95)
        width = 0.12 + 0.05 * math.log2(layer.channels + 1)
        boxes.append(Box(x, math.log2(side / layer.size), width, layer.channels, layer.size, layer.kind))
    return boxes


def _draw(axes: Any, layers: list[Layer], side: int) -> None:
    """Boxes in the shape of a U: height by map size, width by channels; arrows for what is done between them."""
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    boxes = _boxes(layers, side)
    for box in boxes:
        height = 0.22 + 0.62 * box.size / side
        colour = KINDS.get(box.kind, GREY)
        corner = box.left, -box.level - height / 2
        axes.add_patch(Rectangle(corner, box.width, height, fc=colour + "33", ec=colour, lw=1.2))
        above = -box.level + height / 2 + 0.04
        axes.text(box.x, above, str(box.channels), ha="center", va="bottom", fontsize=7, color=INK)
    for one, other in itertools.pairwise(boxes):
        colour = POOL if other.size < one.size else KINDS.get(other.kind, GREY)
        look = {"mutation_scale": 8, "color": colour, "lw": 1.1, "shrinkA": 1, "shrinkB": 1}
        _arrow(axes, (one.right, -one.level), (other.left, -other.level), **look)
    _copies(axes, boxes, layers)
    for level, size in sorted({(box.level, box.size) for box in boxes}):
        left = min(box.x for box in boxes if box.level == level)
        under = -level - 0.11 - 0.31 * size / side - 0.05
        axes.text(left, under, f"{size} x {size}", ha="center", va="top", fontsize=7, color=GREY)
    _legend(axes)
    axes.set(xlim=(-1.2, boxes[-1].x + 0.8), ylim=(-max(box.level for box in boxes) - 0.7, 0.85))


def _copies(axes: Any, boxes: list[Box], layers: list[Layer]) -> None:
    """A grey line from each map that a later convolution takes again to the map beside which it takes it."""
    for index, layer in enumerate(layers):
        before, copied = boxes[index], layer.taken - boxes[index].channels
        sources = [box for box in boxes[: max(0, index - 1)] if (box.size, box.channels) == (layer.size, copied)]
        if layer.kind == "conv" and sources:
            height = 0.1 - boxes[index + 1].level
            look = {"mutation_scale": 8, "color": COPY, "lw": 1, "ls": "--"}
            _arrow(axes, (sources[-1].right, height), (before.left, height), **look)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", **look))


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
