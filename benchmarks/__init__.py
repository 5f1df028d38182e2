"""Comparisons with peers and growth studies: `python -m benchmarks`; one file per comparison."""
