"""Forecasts, the models that made them, what became of them, and staffing plans."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

PREDICTION_TABLES: tuple[Table, ...] = ()
