"""Alert rules, and the alerts that they raised."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

ALERT_TABLES: tuple[Table, ...] = ()
