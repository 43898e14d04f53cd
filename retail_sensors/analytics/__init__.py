"""What each figure means: pure functions from typed frames to typed frames.

`hourly` and `daily` are the ways in, `roster` says who counts where, `quality` why a value is NULL. Nothing here knows Dagster,
a database or the time of day: `now` is an argument.
"""
