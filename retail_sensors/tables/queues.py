"""Queues at the tills by hour and by day."""

from __future__ import annotations

from retail_sensors.tables.contract import Table

QUEUE_TABLES: tuple[Table, ...] = ()
