"""What stood out in the counts."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

ANOMALY_TABLES: tuple[Table, ...] = ()
