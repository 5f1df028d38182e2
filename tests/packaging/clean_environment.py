"""A Python environment of named packages and what they need, and nothing else: links to what is installed here."""

from __future__ import annotations

import json
import re
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def make(folder: Path, requirements: Iterable[str]) -> Path:
    """Make an environment in `folder`, without pip; nothing is downloaded.

    Args:
        folder: is created.
        requirements: such as "nibabel==5.4.2"; another installed version is refused.

    Returns:
        its interpreter.
    """
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in _needed(requirements):
        for entry in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (site / entry).exists():
                (site / entry).symlink_to(package.locate_file(entry))
    return folder / "bin" / "python"


def requirements_of(bundle: Path) -> list[str]:
    """What the metadata of a packed bundle asks for."""
    meta = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    own = {name: meta[f"{key}_version"] for name, key in (("torch", "pytorch"), ("monai", "monai"), ("numpy", "numpy"))}
    return [f"{name}=={version}" for name, version in (own | meta["required_packages_version"]).items()]


def _needed(requirements: Iterable[str]) -> list[metadata.Distribution]:
    """The named packages and, recursively, those that they require here."""
    found: dict[str, metadata.Distribution] = {}
    wanted = [Requirement(text) for text in requirements]
    while wanted:
        requirement = wanted.pop()
        package = metadata.distribution(requirement.name)
        assert requirement.specifier.contains(package.version, prereleases=True), (str(requirement), package.version)
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if key in found:
            continue
        found[key] = package
        needs = map(Requirement, package.requires or ())
        wanted += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return list(found.values())
