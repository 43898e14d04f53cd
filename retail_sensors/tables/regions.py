"""Regions by hour and day: stays, figures, and modelled flows between them."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

REGION_TABLES: tuple[Table, ...] = ()
