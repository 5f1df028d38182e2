"""Weights and copies of a bundle, spoilt."""

from __future__ import annotations

import shutil

from faults import edit_json

REFUSED = "refused, nothing is written"
OTHER = ["--weights", "other.pt"]


def weights_of(change):
    """A file of weights made of the bundle's own."""

    def write(bundle, root):
        import torch

        torch.save(change(torch.load(bundle / "models" / "model.pt", weights_only=True)), root / "other.pt")

    return write


def file_of(name, content):
    return lambda bundle, root: (root / name).write_bytes(content)


def cut_weights(bundle, root):
    (root / "other.pt").write_bytes((bundle / "models" / "model.pt").read_bytes()[:-2000])


def copy_of(*without, **entries):
    """A copy of the bundle with other entries in inference.json, some taken out."""

    def write(bundle, root):
        shutil.copytree(bundle, root / "copy")
        edit_json(root / "copy" / "inference.json", *without, **entries)

    return write


def broken_json(bundle, root):
    shutil.copytree(bundle, root / "copy")
    (root / "copy" / "inference.json").write_text("{")


def nothing(bundle, root):
    pass
