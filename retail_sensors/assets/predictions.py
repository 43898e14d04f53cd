"""Forecasts, their model, what became of them, and staffing plans."""

import dagster as dg

MODEL_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
PREDICTION_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
