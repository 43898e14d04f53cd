"""Key figures stand beside the days that they are made of, from the camera to the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.simulator.fleet import running
from retail_sensors_tests.installations import Site, small_fleet

START = datetime(2025, 10, 6, tzinfo=UTC)
# Six Mondays: the fifth is the first that has four comparable days before it.
WINDOW = TimeWindow(START, START + timedelta(days=36))


def test_key_figures_are_those_of_the_days_with_what_is_usual_beside_them(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    with running(small_fleet()) as fleet:
        site.register(fleet)
        collected = site.collect(WINDOW)
        assert collected.report.is_complete
        days = site.fetch(
            "SELECT d.store_id, d.date, d.total_visitors, k.metric_value, k.metric_unit, k.category, k.benchmark_value"
            " FROM retail.store_daily AS d JOIN retail.kpi_metrics AS k"
            " ON k.scope_id = d.store_id AND k.date = d.date AND k.metric_name = 'visitors' WHERE d.data_completeness >= 0.9"
        )
        complete = site.fetch("SELECT count(*) FROM retail.store_daily WHERE data_completeness >= 0.9")
        assert len(days) == complete[0][0]
        assert {(unit, category) for *_, unit, category, _ in days} == {("people", "traffic")}
        off = set(
            site.fetch(
                "SELECT s.id, h.date FROM retail.stores AS s JOIN retail.holidays AS h USING (country)"
                " WHERE h.subdivision = '' AND h.kind = 'public'"
            )
        )
        assert off & {(store, day) for store, day, *_ in days}
        visitors = {(store, day): float(count) for store, day, count, *_ in days if (store, day) not in off}
        for store, day, count, value, _, _, usual in days:
            assert value == float(count)
            if (store, day) in off:
                assert usual is None
                continue
            before = [
                visitors[store, day - timedelta(weeks=weeks)]
                for weeks in range(1, 9)
                if (store, day - timedelta(weeks=weeks)) in visitors
            ]
            if len(before) >= 4:
                assert usual == median(before)
        assert any(usual is not None for *_, usual in days)

        stored = site.fetch("SELECT * FROM retail.kpi_metrics ORDER BY 1, 2, 3, 4")
        site.collect(WINDOW)
        assert site.fetch("SELECT * FROM retail.kpi_metrics ORDER BY 1, 2, 3, 4") == stored
    event = collected.instance.get_latest_materialization_event(dg.AssetKey("kpi_metrics"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["figures"].value > 0
