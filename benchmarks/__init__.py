"""Benchmarks: how fast and how big the project is, against floors that are measured in the same run.

`python -m benchmarks` runs all of them, `python -m benchmarks.NAME [--json]` one. Absolute times say as much about the
machine as about the project, so what counts are the ratios; each is printed with its bar. Nothing here is asserted:
whether a benchmark works at all is a test's business, how it comes out is the reader's.

Each benchmark cleans up: servers and processes that it started are ended, and its temporary folders removed, also when
it is interrupted.
"""
