"""What stood out in the counts."""

import dagster as dg

ANOMALY_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
