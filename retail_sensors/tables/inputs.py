"""What the store brings beside its cameras: till feed, staff, weather, holidays, counted queues."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

INPUT_TABLES: tuple[Table, ...] = ()
