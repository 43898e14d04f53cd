"""What is known beside the cameras: holidays. Till feed, staff, weather and counted queues are loaded by the command line."""

import dagster as dg

INPUT_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
