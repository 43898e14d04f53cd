"""Queues at the tills by hour and by day."""

import dagster as dg

QUEUE_HOURLY_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
QUEUE_DAILY_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
