"""Regions: how long people stay, their figures by hour and day, and modelled flows."""

import dagster as dg

STAY_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
REGION_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
