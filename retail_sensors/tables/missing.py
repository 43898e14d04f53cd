"""Estimates of hours that no camera gave."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

MISSING_TABLES: tuple[Table, ...] = ()
