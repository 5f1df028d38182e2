"""What a table was measured on: processor, instructions, threads, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = ("torch", "monai", "numpy", "scipy", "edt", "nibabel", "nnunetv2", "medpy", "surface-distance")


def describe() -> dict[str, Any]:
    """Processor, its vector instructions, cores, threads, memory and versions; what is not installed is left out."""
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    info = _lines("/proc/cpuinfo")
    flags = info.get("flags", "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "family": f"family {info['cpu family']}, model {info['model']}" if "cpu family" in info else "",
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(int(_lines("/proc/meminfo").get("MemTotal", "0").split()[0]) / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "busy": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def sentence(machine: dict[str, Any]) -> str:
    """The description in one line for below a table."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    processor = ", ".join(filter(None, [machine["cpu"], machine["family"], " ".join(machine["flags"])]))
    return (
        f"Measured on {machine['cores']} cores ({processor}), {machine['threads']} threads, {machine['memory_gb']} GB; "
        f"Python {machine['python']}, {versions}. Load average when it began: {machine['busy']}."
    )


def _lines(path: str) -> dict[str, str]:
    """`name: value` lines, the first of each name; nothing where there is no such file."""
    found: dict[str, str] = {}
    if Path(path).is_file():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found
