"""The layers over a heat map of hours, by hand, and what is not known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from retail_sensors.analytics.overlays import LAYERS, business_overlays
from retail_sensors.tables import STORE_HOURLY
from retail_sensors.tables.inputs import POS_TRANSACTIONS, STAFF_HOURS
from retail_sensors_tests.unit.analytics_estate import camera, identity, roster, store, typed, utc

TEN = utc("2026-02-02T10:00")
HOUR = timedelta(hours=1)


def _rows(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"store_id": identity("s"), "hour_start": TEN, "quality": "{}", **row} for row in rows]


def test_layers_by_hand_and_null_where_an_input_is_missing() -> None:
    estate = roster([store("s", area_sqm=50)], [camera("a", "s")], {})
    hours = typed(
        STORE_HOURLY,
        _rows(
            {"total_entries": 40, "visitors": 30, "avg_heat_value": 7200.0},
            {"hour_start": TEN + HOUR, "total_entries": 0, "visitors": 0},
            {"hour_start": TEN + 2 * HOUR, "total_entries": 10, "visitors": 10},
        ),
    )
    tills = typed(
        POS_TRANSACTIONS,
        _rows({"transactions": 10, "sales": 250}, {"hour_start": TEN + HOUR, "transactions": 1, "sales": None}),
    )
    staff = typed(STAFF_HOURS, _rows({"staff": 3}, {"hour_start": TEN + HOUR, "staff": 0}))
    found = business_overlays(hours, tills, staff, estate)
    first, second, third = (list(found.loc[row, list(LAYERS)]) for row in range(3))
    assert first == pytest.approx([2, 25, 5, 10])
    assert second == pytest.approx([float("nan")] * 4, nan_ok=True)
    assert third == pytest.approx([float("nan")] * 4, nan_ok=True)
    assert list(found["hour_start"]) == [TEN, TEN + HOUR, TEN + 2 * HOUR]


def test_a_store_without_an_area_has_no_sales_a_square_metre() -> None:
    estate = roster([store("s")], [camera("a", "s")], {})
    hours = typed(STORE_HOURLY, _rows({"total_entries": 40, "visitors": 30}))
    tills = typed(POS_TRANSACTIONS, _rows({"transactions": 10, "sales": 250}))
    found = business_overlays(hours, tills, typed(STAFF_HOURS, ()), estate)
    assert found["sales_per_sqm"].isna().all()
    assert list(found["conversion_percent"]) == [25]
