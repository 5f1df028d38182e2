"""Several answers for one image: trained networks averaged, dropout passes, and a coarse look before a fine one."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms.utils import get_largest_connected_component_mask
from torch import nn

from pipeline.checkpoints import load_weights
from pipeline.errors import DataError, Problem

logger = logging.getLogger("pipeline")

FAR = 10.0  # the logit of what was looked at coarsely only: a probability below 1e-4


class EnsembleInferer(Inferer):
    """Average the probabilities of several weights of one network, and of several passes with dropout.

    With one checkpoint and no dropout it calls `inferer` and changes nothing. The weights take turns in the one
    network, so that memory grows by the weights alone; its own come back after each call.

    Args:
        inferer: what calls the network, e.g. mirrored sliding windows; once for each member and pass.
        checkpoints: the bundle's `checkpoint`: one file, or several, e.g. those of all folds; all of one network_def.
            The first one's weights are those that the network has already. The others are read once for a network;
            where a server puts a newly trained one in its place, those count that are still there.
        dropout_samples: passes with dropout left on (Gal and Ghahramani, ICML 2016, arXiv:1506.02142); 0 for none.
        sigmoid: each channel is one structure; else the channels are classes that exclude one another.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        checkpoints: str | Sequence[str] = (),
        dropout_samples: int = 0,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.further = [] if isinstance(checkpoints, str) else [os.path.abspath(path) for path in checkpoints][1:]
        self.dropout_samples = dropout_samples
        self.sigmoid = sigmoid
        self._states: list[dict[str, torch.Tensor]] = []
        self._read_for: Callable[[], Any] | None = None

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Logits (B, channels, X, Y, Z) of the mean probabilities.

        Raises:
            DataError: weights that are missing or do not fit; dropout passes of a network without dropout.
        """
        if not self.further and not self.dropout_samples:
            return self.inferer(inputs, network, *args, **kwargs)
        self._read(network)
        total, number = None, 0
        with _dropout(network, self.dropout_samples):
            for state in [None, *self._states]:
                with _weights(network, state):
                    for _ in range(max(1, self.dropout_samples)):
                        logits = self.inferer(inputs, network, *args, **kwargs)
                        probabilities = logits.sigmoid() if self.sigmoid else logits.softmax(dim=1)
                        total = probabilities if total is None else total.add_(probabilities)
                        number += 1
        mean = total.div_(number)
        return mean.logit(eps=1e-6) if self.sigmoid else mean.clamp_min_(1e-6).log_()

    def _read(self, network: nn.Module) -> None:
        """Read the further members, which belong to this network."""
        if not self.further or (self._read_for is not None and self._read_for() is network):
            return
        gone = [] if self._read_for is None else [path for path in self.further if not os.path.isfile(path)]
        if gone:
            logger.warning("another network answers now, without what has gone: %s", ", ".join(gone))
        self._states = _read_states(network, [path for path in self.further if path not in gone])
        self._read_for = weakref.ref(network)


class CascadeInferer(Inferer):
    """Find the region on a coarse copy of the image, then look closely there only.

    The coarse pass segments the image shrunk by `factor`. What it finds, widened by `margin` and to at least
    `smallest` voxels, is given to the fine pass; elsewhere the answer is background. Where the coarse pass finds
    nothing, the whole image is looked at closely.

    Args:
        inferer: what calls the network, in both passes.
        coarse: what calls it in the coarse pass instead, e.g. without mirrored copies; None for `inferer`.
        enabled: False calls `inferer` and changes nothing.
        factor: how many voxels of each axis become one, all of an axis that has fewer; mean values.
        checkpoint: weights of the same network_def for the coarse pass, trained at the coarse spacing; None uses the
            network's own, which must then bear the change of scale.
        margin: voxels of the fine image around what was found.
        smallest: least size of the region, e.g. the window, so that context is not lost; None for no limit.
        largest_component: of what the coarse pass finds, only the largest connected part counts: one heart, say.
        sigmoid: each channel is one structure; else the channels are classes, background first.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        enabled: bool = True,
        factor: Sequence[int] = (2, 2, 1),
        checkpoint: str | None = None,
        margin: Sequence[int] = (12, 12, 1),
        smallest: Sequence[int] | None = None,
        largest_component: bool = False,
        coarse: Inferer | None = None,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.coarse = coarse or inferer
        self.largest_component = largest_component
        self.enabled = enabled
        self.factor = tuple(factor)
        self.checkpoint = checkpoint
        self.margin = tuple(margin)
        self.smallest = (1,) * len(self.factor) if smallest is None else tuple(smallest)
        self.sigmoid = sigmoid
        self._state: dict[str, torch.Tensor] | None = None

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Logits (B, channels, X, Y, Z); raises DataError for coarse weights that are missing or do not fit."""
        if not self.enabled:
            return self.inferer(inputs, network, *args, **kwargs)
        if self.checkpoint and self._state is None:
            (self._state,) = _read_states(network, [self.checkpoint])
        factor = tuple(min(n, size) for n, size in zip(self.factor, inputs.shape[2:], strict=True))
        small = nn.functional.avg_pool3d(inputs, factor, factor, ceil_mode=True, count_include_pad=False)
        with _weights(network, self._state):
            logits = self.coarse(small, network, *args, **kwargs)
        box = self._region(logits, inputs.shape[2:], factor)
        if box is None:
            return self.inferer(inputs, network, *args, **kwargs)
        fine = self.inferer(inputs[(..., *box)].contiguous(), network, *args, **kwargs)
        whole = fine.new_full((*fine.shape[:2], *inputs.shape[2:]), -FAR)
        if not self.sigmoid:
            whole[:, 0] = FAR
        whole[(..., *box)] = fine
        return whole

    def _region(self, logits: torch.Tensor, shape: Sequence[int], factor: Sequence[int]) -> tuple[slice, ...] | None:
        """The box of the fine image that holds all that was found, or None."""
        found = (logits > 0 if self.sigmoid else logits[:, 1:] > logits[:, :1]).any(dim=1).any(dim=0)
        if self.largest_component:
            found = get_largest_connected_component_mask(found)
        places = found.nonzero()
        if not len(places):
            return None
        box = []
        for axis, whole in enumerate(shape):
            first, last = int(places[:, axis].min()), int(places[:, axis].max())
            start = first * factor[axis] - self.margin[axis]
            stop = (last + 1) * factor[axis] + self.margin[axis]
            missing = max(0, self.smallest[axis] - (stop - start))
            start, stop = start - missing // 2, stop + missing - missing // 2
            start, stop = max(0, start - max(0, stop - whole)), min(whole, stop + max(0, -start))
            box.append(slice(start, stop))
        return tuple(box)


def _read_states(network: nn.Module, checkpoints: Sequence[str]) -> list[dict[str, torch.Tensor]]:
    """The weights of each checkpoint, checked against the network, whose own stay in place."""
    with _weights(network, network.state_dict()):
        return [_copied(load_weights(network, path)) for path in checkpoints]


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@contextlib.contextmanager
def _weights(network: nn.Module, state: dict[str, torch.Tensor] | None) -> Iterator[None]:
    """Other weights for a while; None for the network's own."""
    if state is None:
        yield
        return
    own = _copied(network)
    network.load_state_dict(state)
    try:
        yield
    finally:
        network.load_state_dict(own)


@contextlib.contextmanager
def _dropout(network: nn.Module, samples: int) -> Iterator[None]:
    """Dropout layers, and nothing else, in training mode, with random numbers of their own: the same in each call."""
    if samples < 1:
        yield
        return
    layers = [m for m in network.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
    if not layers:
        remedy = "Train a network with dropout, for example --network_def#dropout 0.2, and use it here too"
        raise DataError(Problem("dropout_samples", "a network with dropout", "none in this one", remedy))
    modes = [layer.training for layer in layers]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.train(mode)
