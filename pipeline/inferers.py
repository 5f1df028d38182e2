"""How a network is called: lower precision and memory format where they are safe, and mirrored copies averaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, combinations
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer
from torch import nn

from pipeline.networks.in_plane import GroupedInstanceNorm

HALF = (torch.float16, torch.bfloat16)
NORMS = {nn.BatchNorm3d, nn.InstanceNorm3d, GroupedInstanceNorm, nn.GroupNorm, nn.LayerNorm}

logger = logging.getLogger("pipeline")

# Largest accepted |bf16 - fp32| / |fp32| in the Euclidean norm over one input's logits. Measured: about 0.1 for a
# DynUNet before training, below 0.01 once it is trained; a wrong kernel gives 1.
TOLERANCE = 0.2


class PrecisionInferer(Inferer):
    """Run another inferer under autocast where the device gains from it, and return float32 logits.

    `precision="auto"` means: on a CPU with native bfloat16 instructions (AVX512_BF16 or AMX), bf16 after a check of
    the network itself: the first input is computed in both precisions, and bf16 is kept only if the relative
    difference of the logits stays below TOLERANCE. On CUDA it means autocast in half precision, as the engines' `amp`.
    Everything else runs in float32. Processors without those instructions emulate bf16 at a fraction of float32's
    speed.

    `memory_format="auto"` means: on a CPU, networks that gain by it (`prefers_channels_last`) compute with channels
    last; the logits agree to rounding. A network that is being trained is left as it is.

    Args:
        inferer: what calls the network, e.g. a sliding window; default MONAI's SimpleInferer.
        precision: "auto", "bf16" (no check) or "fp32".
        memory_format: "auto", "channels_last" or "contiguous" (nothing is changed).
    """

    def __init__(
        self,
        inferer: Inferer | None = None,
        *,
        precision: str = "auto",
        memory_format: str = "auto",
    ) -> None:
        super().__init__()
        if precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision must be auto, bf16 or fp32, got {precision!r}")
        if memory_format not in ("auto", "channels_last", "contiguous"):
            raise ValueError(f"memory_format must be auto, channels_last or contiguous, got {memory_format!r}")
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.precision = precision
        self.memory_format = memory_format
        self._bf16: bool | None = {"bf16": True, "fp32": False}.get(precision)
        self._asked: tuple[nn.Module, bool] | None = None

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Logits of `network` for `inputs` (B, C, X, Y, Z), as float32."""

        last = self._channels_last(inputs, network)
        if last:
            network.to(memory_format=torch.channels_last_3d)  # of the weights: the layers then hand it on

        def run(window: torch.Tensor, *window_args: Any, **window_kwargs: Any) -> torch.Tensor:
            window = window.contiguous(memory_format=torch.channels_last_3d) if last else window
            if self._bf16 is None:
                self._bf16 = cpu_has_bf16(window.device) and self._agrees(window, network)
            with self._autocast(window.device):
                logits = network(window, *window_args, **window_kwargs)
            return logits.float() if logits.dtype in HALF else logits

        return self.inferer(inputs, run, *args, **kwargs)

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        """Half precision or, where none is asked for, whatever holds outside."""
        if self._bf16:
            return torch.autocast(device.type, torch.bfloat16)
        if self.precision == "auto" and device.type == "cuda":
            return torch.autocast("cuda")
        return nullcontext()

    def _channels_last(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor]) -> bool:
        if self.memory_format == "contiguous" or not isinstance(network, nn.Module) or inputs.ndim != 5:
            return False
        if network.training or not (self.memory_format == "channels_last" or self._gains(inputs, network)):
            return False
        # gradients, and the buckets they are reduced in, have a layout by then
        return all(parameter.grad is None for parameter in network.parameters())

    def _gains(self, inputs: torch.Tensor, network: nn.Module) -> bool:
        """Whether channels last are faster; asked once for a network, since all its layers are looked at."""
        if inputs.device.type != "cpu":
            return False
        if self._asked is None or self._asked[0] is not network:
            self._asked = network, prefers_channels_last(network)
        return self._asked[1]

    @torch.no_grad()
    def _agrees(self, window: torch.Tensor, network: Callable[..., torch.Tensor]) -> bool:
        """Compare both precisions on one window, in evaluation mode so that no running statistic moves."""
        sample = window[:1]
        was_training = getattr(network, "training", False)
        if was_training:
            network.eval()
        try:
            exact = network(sample)
            with torch.autocast(sample.device.type, torch.bfloat16):
                rough = network(sample).float()
        finally:
            if was_training:
                network.train()
        error = float((rough - exact).norm() / exact.norm().clamp_min(1e-12))
        if not error <= TOLERANCE:  # also where bf16 gave NaN
            logger.warning("bf16 differs from fp32 by %.1f%% on this processor: computing in fp32", 100 * error)
            return False
        logger.info("bf16 differs from fp32 by %.2f%%: computing in bf16", 100 * error)
        return True


def cpu_has_bf16(device: torch.device) -> bool:
    """Whether `device` is a CPU with native bfloat16 arithmetic."""
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    )


def prefers_channels_last(network: nn.Module) -> bool:
    """Whether a CPU computes a 3D network faster with channels last: one with batch norm alone, or with kernels along z
    and instance norm alone, where `pipeline.networks.in_plane` has given that another kernel."""
    modules = list(network.modules())
    norms = {type(module) for module in modules} & NORMS
    if norms == {GroupedInstanceNorm}:
        return any(isinstance(module, nn.Conv3d) and module.kernel_size[2] > 1 for module in modules)
    return norms == {nn.BatchNorm3d}


class MirrorInferer(Inferer):
    """Average the logits over all mirrored copies of the input (test-time augmentation).

    Args:
        inferer: what calls the network on each copy.
        axes: spatial axes to mirror, e.g. (0, 1) for the four in-plane copies; none leaves one plain pass.
    """

    def __init__(self, inferer: Inferer, *, axes: Sequence[int] = ()) -> None:
        super().__init__()
        self.inferer = inferer
        axes = tuple(axes)
        self.mirrors = list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Mean logits (B, classes, X, Y, Z); the cost grows by 2 to the power of the number of axes."""
        total = None
        for mirror in self.mirrors:
            dims = [axis + 2 for axis in mirror]
            logits = self.inferer(inputs.flip(dims) if dims else inputs, network, *args, **kwargs)
            logits = logits.flip(dims) if dims else logits
            total = logits if total is None else total.add_(logits)
        return total.div_(len(self.mirrors)) if len(self.mirrors) > 1 else total
