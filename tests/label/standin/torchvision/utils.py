"""The two functions that MONAI Label imports; the package index has no torchvision without CUDA."""


def make_grid(*args, **kwargs):
    """Pictures of trainings with clicks (DeepEdit), which a bundle does not draw."""
    raise NotImplementedError("install torchvision to draw pictures")


def save_image(*args, **kwargs):
    """As `make_grid`."""
    raise NotImplementedError("install torchvision to draw pictures")
