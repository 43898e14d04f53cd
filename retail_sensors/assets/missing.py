"""Estimates of missing hours: a short body around `retail_sensors.analytics.imputation`."""

import dagster as dg

MISSING_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
