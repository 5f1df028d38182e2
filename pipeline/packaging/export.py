"""The network of a packed bundle as TorchScript and ONNX, compared with the eager one on a whole volume."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from pipeline.errors import DataError, Problem
from pipeline.files import read_json
from pipeline.packaging.loading import network_channels, network_of, on_path, parser_of

ONNX_OPSET = 17
AGREEMENT = 0.9999  # share of voxels whose label must be the same
VOLUME = (256, 256)  # in plane, voxels: a real one's
SLICES = 10


@dataclass(frozen=True)
class Comparison:
    """How an exported network answers, against the eager one, on one volume.

    Args:
        file: the exported network.
        megabytes: its size.
        shape: the volume, voxels.
        difference: the largest absolute difference of a logit.
        spread: the standard deviation of the eager logits.
        agreement: share of voxels with the same label.
    """

    file: str
    megabytes: float
    shape: tuple[int, ...]
    difference: float
    spread: float
    agreement: float

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return (
            f"{self.file} ({self.megabytes:.1f} MB): logits differ by at most {self.difference:.1e} "
            f"(their standard deviation: {self.spread:.1f}) on {size} voxels, labels agree on {self.agreement:.4%}"
        )


class OnnxNetwork:
    """An ONNX file that is called as the network is, by ONNX Runtime on the CPU.

    Args:
        path: models/model.onnx of a packed bundle.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Logits (B, channels, X, Y, Z) of windows of the size that the file was exported for."""
        name = self.session.get_inputs()[0].name
        (logits,) = self.session.run(None, {name: windows.cpu().numpy().astype(np.float32)})
        return torch.from_numpy(logits).to(windows.device)


def export(folder: str | Path, *, torchscript: bool = False, onnx: bool = False) -> dict[str, Comparison]:
    """Write models/model.ts and models/model.onnx of a packed bundle and compare each with the eager network.

    model.ts holds the metadata and inference.json, as `monai.bundle ckpt_export` writes it; model.onnx takes any
    number of windows of `patch_size` and needs no Python of ours.

    Returns:
        the comparisons by format.

    Raises:
        DataError: onnx or onnxruntime is not installed, or the labels agree on less than 99.99% of the voxels.
    """
    folder = Path(folder)
    if onnx:
        _check_installed("onnx", "onnxruntime")
    found = {}
    with on_path(folder):
        network = network_of(folder)
        parser = parser_of(folder)
        patch, outputs, labels = map(parser.get_parsed_content, ("patch_size", "out_channels", "labels"))
        classes = outputs > len(labels)
        window = torch.zeros(1, network_channels(parser), *patch)
        if torchscript:
            path = save_torchscript(network, window, folder)
            found["torchscript"] = compare(torch.jit.load(str(path)).eval(), network, path, window, classes=classes)
        if onnx:
            path = save_onnx(network, window, folder / "models" / "model.onnx")
            found["onnx"] = compare(OnnxNetwork(path), network, path, window, classes=classes)
    _check_agreement(found.values())
    return found


def save_torchscript(network: nn.Module, window: torch.Tensor, folder: Path) -> Path:
    """models/model.ts: scripted, traced where that is not possible, with the configurations inside."""
    from monai.data import save_net_with_metadata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.script(network)
    except Exception:  # a network whose Python TorchScript does not know
        script = torch.jit.trace(network, window)
    files = {"inference.json": (folder / "configs" / "inference.json").read_bytes()}
    meta = read_json(folder / "configs" / "metadata.json")
    path = folder / "models" / "model.ts"
    save_net_with_metadata(script, str(path), include_config_vals=False, meta_values=meta, more_extra_files=files)
    return path


def save_onnx(network: nn.Module, window: torch.Tensor, path: Path) -> Path:
    """An ONNX file for any number of windows of `window`'s size."""
    names = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": {"image": {0: "n"}, "pred": {0: "n"}}}
    with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the tracer's, of checks that a fixed window passes; the comparison follows
        torch.onnx.export(network, (window,), str(path), opset_version=ONNX_OPSET, dynamo=False, **names)
    return path


def compare(
    exported: Callable[[torch.Tensor], torch.Tensor],
    network: nn.Module,
    path: Path,
    window: torch.Tensor,
    *,
    classes: bool = True,
) -> Comparison:
    """Slide both networks over one smooth random volume of a real one's size.

    Args:
        exported, network: called with windows (B, C, X, Y, Z).
        path: the file of the exported one.
        window: an example of a window.
        classes: whether the channels are classes, of which the largest wins, or structures, each on its own.
    """
    patch = window.shape[2:]
    shape = tuple(max(n, size) for n, size in zip((*VOLUME, max(SLICES, 2 * patch[2])), patch, strict=True))
    volume = random_volume(window.shape[1], shape)
    slide = SlidingWindowInferer(roi_size=tuple(patch), sw_batch_size=4, overlap=0.0)
    with torch.no_grad():
        ours, theirs = slide(volume, network), slide(volume, exported)
    return Comparison(
        file=path.name,
        megabytes=path.stat().st_size / 1e6,
        shape=shape,
        difference=float((ours - theirs).abs().max()),
        spread=float(ours.std()),
        agreement=float((_labels(ours, classes) == _labels(theirs, classes)).float().mean()),
    )


def random_volume(channels: int, shape: Sequence[int]) -> torch.Tensor:
    """Smooth noise (1, channels, *shape) with mean 0 and standard deviation 1; always the same."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, channels, *(max(2, n // 8) for n in shape), generator=generator)
    fine = nn.functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)
    fine += 0.2 * torch.randn(fine.shape, generator=generator)
    return (fine - fine.mean()) / fine.std()


def _labels(logits: torch.Tensor, classes: bool) -> torch.Tensor:
    return logits.argmax(dim=1) if classes else logits > 0


def _check_agreement(comparisons: Iterable[Comparison]) -> None:
    remedy = "Report it; use the eager network"
    wrong = [
        Problem(found.file, f"labels that agree on {AGREEMENT:.2%}", f"{found.agreement:.4%}", remedy)
        for found in comparisons
        if found.agreement < AGREEMENT
    ]
    if wrong:
        raise DataError(wrong)


def _check_installed(*names: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in names if find_spec(name) is None]
    if missing:
        remedy = "Install it: pip install onnx onnxruntime"
        raise DataError([Problem("--onnx", f"the package {name}", "none", remedy) for name in missing])
