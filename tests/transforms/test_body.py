"""The box around the body."""

import torch

from pipeline.transforms import body_box


def scan():
    """A body of 120 x 90 mm in air, lungs in it, on a thin table, in windowed values."""
    x, y, _ = torch.meshgrid(torch.arange(200), torch.arange(160), torch.arange(12), indexing="ij")
    image = torch.full(x.shape, -0.7)
    image[((x - 100) / 60.0) ** 2 + ((y - 70) / 45.0) ** 2 < 1] = 0.7
    image[((x - 75) / 20.0) ** 2 + ((y - 70) / 30.0) ** 2 < 1] = -0.5
    image[20:180, 140:143] = 0.9
    return image[None]


def bounds(mask, axis):
    others = [other for other in range(1, 4) if other != axis]
    found = torch.nonzero(mask.any(dim=0, keepdim=True).sum(dim=[0, *others])).flatten()
    return int(found[0]), int(found[-1])


def test_the_box_holds_the_whole_body_and_little_else():
    box = body_box(scan())
    assert box.dtype == torch.bool
    assert box.shape == (1, 200, 160, 12)
    for axis, (low, high) in ((1, (41, 159)), (2, (26, 114))):
        start, stop = bounds(box, axis)
        assert low - 8 <= start <= low
        assert high <= stop <= high + 8
    assert bounds(box, 3) == (0, 11)


def test_a_slice_cropped_to_the_lungs_is_kept_whole():
    cropped = scan()[:, 60:90, 50:90, 5:6]
    assert body_box(cropped).all()


def test_an_image_without_tissue_is_kept_whole():
    assert body_box(torch.full((1, 30, 30, 4), -1.0)).all()
    assert body_box(torch.full((1, 30, 30, 4), 0.8)).all()
