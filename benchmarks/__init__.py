"""The library beside hand-written SQLAlchemy Core that leaves the same rows, in one run.

`python -m benchmarks` (or `make bench`) prints the ratios; see `__main__` for the options.
"""
