"""What each loss costs, forward and backward, as multiples of MONAI's DiceCELoss on the same batch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import monai.losses
import numpy as np
import torch
import torch.nn.functional as F
from monai.networks import one_hot

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also without an installation

import pipeline.losses
from benchmarks.timing import CLOCKS, interleaved, markdown
from pipeline.files import write_text
from pipeline.losses import HausdorffCVLoss, HausdorffDTLoss, HausdorffERLoss, distance_field
from pipeline.losses.common import ImageLoss, SegmentationLoss
from pipeline.losses.hausdorff_cv import ball

SOFTMAX = {"softmax": True, "to_onehot_y": True, "include_background": False}
REFERENCE = "DiceCELoss"
FULL, SMALL = (128, 128, 16), (48, 48, 8)
SMALL_RADII = (3, 6)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, print both tables, and with --json write them."""
    chosen = _arguments(arguments)
    torch.set_num_threads(chosen.threads)
    size = SMALL if chosen.quick else FULL
    rounds = chosen.rounds or (2 if chosen.quick else 15)
    batch = Batch(size, untrained=chosen.untrained)
    names = every_loss(batch)
    if chosen.only:
        names = {name: loss for name, loss in names.items() if name == REFERENCE or chosen.only in name}
    rows = interleaved({n: batch.step(loss) for n, loss in names.items()}, rounds=rounds, clock=chosen.clock)
    told = f"2x4x{'x'.join(map(str, size))}, threads: {chosen.threads}, {chosen.clock} time, median of {rounds} rounds"
    print(f"{told}\n\n{markdown(rows, reference=REFERENCE)}\n")
    pairs = [] if chosen.only else against_straightforward(batch, rounds=rounds, clock=chosen.clock)
    for pair in pairs:
        print(f"{pair['what']}: {pair['ratio']:.3f} ({pair['low']:.3f} to {pair['high']:.3f})")
    if chosen.json:
        content = {
            "size": size, "threads": chosen.threads, "clock": chosen.clock, "rounds": rounds,
            "untrained": chosen.untrained, "torch": torch.__version__, "monai": monai.__version__,
            "losses": rows, "straightforward": pairs,
        }  # fmt: skip
        write_text(chosen.json, json.dumps(content, indent=1) + "\n", overwrite=True)


class Batch:
    """Two volumes with three balls in each, and logits that show them elsewhere: moved by four voxels, with noise.

    Args:
        size: voxels along each axis.
        untrained: logits of noise alone, as an untrained network gives them.
    """

    def __init__(self, size: tuple[int, ...], *, untrained: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        grid = np.stack(np.indices(size), -1) / np.array(size) - 0.5
        inner, outer, beside = (
            np.linalg.norm(grid - [x, y, 0], axis=-1) < r for x, y, r in ((0, 0, 0.15), (0, 0, 0.22), (0, 0.3, 0.2))
        )
        label = torch.from_numpy(np.select([inner, outer, beside], [3, 2, 1]))[None, None]
        self.label = torch.cat([label, label.flip(2)])
        noise = torch.randn(2, 4, *size, generator=generator)
        logits = noise if untrained else 4 * one_hot(self.label.roll((4, 1), (2, 4)), 4) - 2 + noise
        self.logits = logits.contiguous().requires_grad_()
        self.image = self.label + torch.randn(2, 1, *size, generator=generator)

    def step(self, loss: Loss) -> Callable[[], torch.Tensor]:
        """Forward and backward of `loss`; returns its value."""

        def run() -> torch.Tensor:
            self.logits.grad = None
            value = loss(self.logits, self.label)
            value.backward()
            return value.detach()

        return run


def every_loss(batch: Batch) -> dict[str, Loss]:
    """The reference, MONAI's Hausdorff loss, the forms of ours, and every other loss of pipeline.losses."""
    field = distance_field(one_hot(batch.label, 4)[:, 1:])
    both, one = HausdorffDTLoss(**SOFTMAX), HausdorffDTLoss(**SOFTMAX, two_sided=False)
    losses: dict[str, Loss] = {
        REFERENCE: monai.losses.DiceCELoss(**SOFTMAX, squared_pred=True, batch=True),
        "MONAI HausdorffDTLoss": monai.losses.HausdorffDTLoss(**SOFTMAX),
        "HausdorffDTLoss": both,
        "HausdorffDTLoss, cached truth field": lambda x, y: both(x, y, field),
        "HausdorffDTLoss, one-sided": one,
        "HausdorffDTLoss, one-sided, cached truth field": lambda x, y: one(x, y, field),
        "HausdorffERLoss": HausdorffERLoss(**SOFTMAX),
        "HausdorffERLoss, straightforward": erosions_by_convolution,
        "HausdorffCVLoss": HausdorffCVLoss(**SOFTMAX),
    }
    for name in pipeline.losses.__all__:
        kind = getattr(pipeline.losses, name)
        if name in losses or not (isinstance(kind, type) and issubclass(kind, SegmentationLoss)):
            continue
        losses[name] = _with_image(kind(**SOFTMAX), batch) if issubclass(kind, ImageLoss) else kind(**SOFTMAX)
    return losses


def against_straightforward(batch: Batch, *, rounds: int, clock: str) -> list[dict[str, Any]]:
    """The cost of the erosion and convolution losses as a share of the straightforward versions'.

    Both versions must agree on the value. The convolution loss is compared on a small batch with small balls: with the
    usual ones the straightforward version takes minutes.
    """
    small = Batch(SMALL)
    pairs = [
        ("HausdorffERLoss", batch, erosions_by_convolution, HausdorffERLoss(**SOFTMAX)),
        ("HausdorffCVLoss", small, balls_by_convolution, HausdorffCVLoss(**SOFTMAX, radii=SMALL_RADII)),
    ]
    found = []
    for name, data, slow, fast in pairs:
        steps = {"slow": data.step(slow), "fast": data.step(fast)}
        torch.testing.assert_close(steps["fast"](), steps["slow"](), rtol=1e-3, atol=1e-6)
        row = interleaved(steps, rounds=max(2, rounds // 3), clock=clock)[1]
        size = "x".join(map(str, data.logits.shape))
        found.append({**row, "name": name, "what": f"{name} as a share of its straightforward version's time, {size}"})
    return found


def erosions_by_convolution(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """HausdorffERLoss as its formula says: ten grouped convolutions with the cross, differentiated by autograd."""
    p, q = _truth_and_prediction(logits, label)
    cross = torch.zeros(3, 3, 3)
    cross[1, 1], cross[1, :, 1], cross[:, 1, 1] = 1, 1, 1
    kernel = (cross / cross.sum()).expand(p.shape[1], 1, 3, 3, 3)
    error, total = (p - q) ** 2, torch.zeros_like(p)
    for k in range(1, 11):
        error = F.relu(2 * F.conv3d(error, kernel, padding=1, groups=p.shape[1]) - 1)
        total = total + k**2 * error
    return total.mean()


def balls_by_convolution(logits: torch.Tensor, label: torch.Tensor, radii: Iterable[int] = SMALL_RADII) -> torch.Tensor:
    """HausdorffCVLoss as its formula says: four grouped convolutions with each ball, differentiated by autograd."""
    p, q = _truth_and_prediction(logits, label)
    added, left_out = (p - q) ** 2 * q, (p - q) ** 2 * p
    total = torch.zeros_like(p)
    for radius in radii:
        kernel = torch.from_numpy(ball(radius, (1.0, 1.0, 1.0))).float()
        kernel = kernel.expand(p.shape[1], 1, *kernel.shape)

        def outside(x: torch.Tensor, kernel: torch.Tensor = kernel, r: int = radius) -> torch.Tensor:
            """f(B * x); the complement of a mask goes on beyond the border."""
            return F.relu(F.conv3d(F.pad(x, [r] * 6, value=1.0), kernel, groups=x.shape[1]) - 0.5)

        def inside(x: torch.Tensor, kernel: torch.Tensor = kernel, r: int = radius) -> torch.Tensor:
            return F.relu(F.conv3d(x, kernel, padding=r, groups=x.shape[1]) - 0.5)

        total = total + radius**2 * ((outside(1 - p) + inside(q)) * added + (inside(p) + outside(1 - q)) * left_out)
    return total.mean()


def _truth_and_prediction(logits: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return one_hot(label, logits.shape[1])[:, 1:].to(logits.dtype), torch.softmax(logits, 1)[:, 1:]


def _with_image(loss: ImageLoss, batch: Batch) -> Loss:
    """A loss that looks at the image; the network's second pass is left out of the cost."""
    second = batch.logits.detach()
    return lambda x, y: loss(x, y, image=batch.image, predict=lambda image, network: second)


def _arguments(arguments: Iterable[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="default 15, with --quick 2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: on a busy machine, with 1 thread")
    parser.add_argument("--quick", action="store_true", help="a small batch, to see that everything runs")
    parser.add_argument("--untrained", action="store_true", help="logits of noise alone")
    parser.add_argument("--only", help="only losses whose name holds this word")
    parser.add_argument("--json", help="write the figures to this file too")
    return parser.parse_args(None if arguments is None else list(arguments))


if __name__ == "__main__":
    main()
