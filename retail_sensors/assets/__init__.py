"""Assets: what is materialized, by what is asked (`raw`) and what is computed (`hourly`, `daily`).

Bodies are short: get the window, call one function of `connectors` or `analytics`, return the rows with metadata.
"""

import warnings

import dagster as dg

# Backfill policies are beta in Dagster. They are used on purpose: without one a back-fill of a day is 24 runs.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)
