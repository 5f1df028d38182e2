"""A stand-in for torchvision, of which MONAI Label imports two functions that nothing here calls."""
