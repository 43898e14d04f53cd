"""Forecasts in a real Postgres: from measured hours over the model and its origins to actual values, accuracy and staff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from retail_sensors.assets.predictions import ACCURACY_ASSETS, MODEL_ASSETS, PREDICTION_ASSETS
from retail_sensors.definitions import build_defs
from retail_sensors.fleet_file import parse_fleet
from retail_sensors.installation import Installation
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.storage.archive import ArchiveFolder
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.merge import merge_frame
from retail_sensors.storage.retention import apply_policies
from retail_sensors.tables import HOURLY_ANALYTICS, STORE_HOURLY
from retail_sensors.tables.inputs import STAFF_HOURS
from retail_sensors_tests.installations import RecordedInMemory, Site
from retail_sensors_tests.integration.stored import frame_of, hour, store

FLEET = """\
stores:
  - {name: Kiosk, timezone: Europe/Lisbon, opening_hours: {mon-sun: 09:00-21:00}}
  - {name: Mall, timezone: UTC, checkout: {star_target: 20}}
cameras:
  - {name: kiosk, store: Kiosk, host: 192.0.2.10}
  - {name: mall-east, store: Mall, host: 192.0.2.11}
  - {name: mall-west, store: Mall, host: 192.0.2.12}
  - {name: young, store: Mall, host: 192.0.2.13}
"""
HOUR = timedelta(hours=1)
NOW = datetime(2025, 6, 9, 6, tzinfo=UTC)  # a Monday
WEEKS = 12
TABLES = ("predictions", "store_predictions", "prediction_accuracy", "staffing_plan")
YESTERDAY = date(2025, 6, 8)


class Standing(ClockResource):
    """A clock that stands shortly after NOW."""

    def now(self) -> datetime:
        return NOW + timedelta(minutes=8)


def counts(seed: int, size: float, hours: int) -> list[float]:
    """Counts of the hours up to NOW with the shape of a day."""
    at = np.arange(hours) - hours + NOW.hour
    usual = size * np.clip(np.sin((at % 24 - 7) / 15 * np.pi), 0.02, None)
    return np.random.default_rng(seed).poisson(usual).astype(float).tolist()


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


@pytest.fixture
def installation(site: Site) -> Iterator[Installation]:
    """A kiosk with one door, and a mall with three, one of which counts for five days only."""
    with site.entered(RecordedInMemory) as installation:
        database = installation.database
        FleetRegistry(database).add(parse_fleet(FLEET, "fleet.yaml"))
        cameras = dict(database.fetch("SELECT sensor_name, id::text FROM retail.sensor_metadata"))
        stores = dict(database.fetch("SELECT store_name, id::text FROM retail.stores"))
        span = WEEKS * 168
        hours = [NOW - (span - number) * HOUR for number in range(span)]
        seen = {"kiosk": counts(1, 40, span), "mall-east": counts(2, 200, span), "mall-west": counts(3, 90, span)}
        rows = [
            hour(cameras[name], at, value)
            for name, values in seen.items()
            for at, value in zip(hours, values, strict=True)
        ]
        rows += [hour(cameras["young"], at, 12.0) for at in hours[-120:]]
        # an hour of yesterday was estimated, one of the day before is missing
        rows[span - 10] |= {"total_entries": 999.0, "quality": '{"counts": "estimated"}', "imputed_share": 1.0}
        rows[span - 30] |= {"total_entries": None, "quality": '{"counts": "missing"}'}
        totals = [east + west for east, west in zip(seen["mall-east"], seen["mall-west"], strict=True)]
        of_stores = [
            {**hour("", at, value), "store_id": stores[name]}
            for name, values in (("Kiosk", seen["kiosk"]), ("Mall", totals))
            for at, value in zip(hours, values, strict=True)
        ]
        with database.transaction() as connection:
            for table, listed in ((HOURLY_ANALYTICS, rows), (STORE_HOURLY, of_stores)):
                merge_frame(connection, table, frame_of(table, *listed), asset=table.name, mode="merge")
        planned = [{"store_id": stores["Mall"], "hour_start": NOW + ahead * HOUR, "staff": 2.0} for ahead in range(30)]
        store(database, STAFF_HOURS, *planned)
        yield installation


def materialize(
    installation: Installation, assets: tuple[dg.AssetsDefinition, ...], tags: dict[str, str], config: Any = None
) -> dict[str, dict[str, Any]]:
    """One run of the assets; what each shows of its last partition."""
    result = dg.materialize(
        list(assets),
        resources=build_defs(clock=Standing()).resources,
        instance=installation.dagster_instance(),
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
    )
    return {
        event.materialization.asset_key.to_user_string(): dict(event.materialization.metadata)
        for event in result.get_asset_materialization_events()
    }


def forecast(installation: Installation, first: datetime, last: datetime) -> dict[str, dict[str, Any]]:
    return materialize(installation, PREDICTION_ASSETS, range_tags(hour_key(first), hour_key(last)))


def judge(installation: Installation, first: date, last: date) -> dict[str, dict[str, Any]]:
    return materialize(installation, ACCURACY_ASSETS, range_tags(day_key(first), day_key(last)))


def train(installation: Installation, up_to: datetime) -> dict[str, Any]:
    config = {"ops": {"prediction_model": {"config": {"rows": 1_500, "up_to": up_to.isoformat()}}}}
    return materialize(installation, MODEL_ASSETS, {}, config)["prediction_model"]


def test_without_a_model_the_simple_rule_predicts_and_is_judged(site: Site, installation: Installation) -> None:
    first = NOW - timedelta(days=2, hours=6)
    shown = forecast(installation, first, first + 2 * HOUR)
    assert shown["predictions"]["forecasts"].value == 4 * 3 * 168
    assert shown["store_predictions"]["without a forecast"].value == 0
    picture = shown["store_predictions"]["forecast for Mall"].value
    assert picture.startswith("![Mall: entries an hour (UTC)](data:image/svg+xml;base64,")
    rows = site.frame("SELECT * FROM retail.predictions")
    assert (
        not rows.drop(columns=["confidence_score", "actual_value", "accuracy_score", "error_percentage"])
        .isna()
        .any(axis=None)
    )
    assert rows["actual_value"].isna().all()
    assert set(rows["model_version"]) == {"simple_rule"}
    assert set(rows.groupby("prediction_time").size()) == {4 * 168}
    assert (rows["target_time"] >= rows["prediction_time"]).all()

    told = judge(installation, YESTERDAY - timedelta(days=2), YESTERDAY + timedelta(days=1))["prediction_accuracy"]
    assert told["days"].value == 2  # of today, which has not ended, nothing is said
    assert told["accuracy of 2025-06-08"].value.startswith("| over | hours ahead | n |")
    checked = site.frame(
        "SELECT p.predicted_value, p.actual_value, p.accuracy_score, p.error_percentage, h.total_entries, h.quality ->> 'counts'"
        " AS counts, p.target_time FROM retail.predictions AS p JOIN retail.hourly_analytics AS h"
        " ON h.sensor_id = p.sensor_id AND h.hour_start = p.target_time"
    )
    measured = checked["counts"] == "measured"
    ended = checked["target_time"] < pd.Timestamp("2025-06-08T23:00Z")
    known = checked[measured & ended]
    assert (known["actual_value"] == known["total_entries"].astype(float)).all()
    assert checked.loc[~measured, ["actual_value", "accuracy_score", "error_percentage"]].isna().all(axis=None)
    assert (~measured).sum() == 6  # two hours from three origins
    positive = known[known["actual_value"] > 0]
    error = 100 * (positive["predicted_value"] - positive["actual_value"]) / positive["actual_value"]
    np.testing.assert_allclose(positive["error_percentage"].astype(float), error)
    assert known.loc[known["actual_value"] == 0, "error_percentage"].isna().all()
    assert known["accuracy_score"].between(0, 1).all()

    accuracy = site.frame("SELECT * FROM retail.prediction_accuracy WHERE scope = 'sensors_pooled' AND horizons = '24'")
    assert accuracy["n"].sum() > 0
    assert accuracy["wape"].notna().all()
    stored = site.contents(TABLES)
    forecast(installation, first, first + 2 * HOUR)
    again = judge(installation, YESTERDAY - timedelta(days=2), YESTERDAY + timedelta(days=1))
    assert again["prediction_accuracy"]["actual values written"].value == 0
    assert site.contents(TABLES) == stored


def test_old_forecasts_go_hour_by_hour_and_what_became_of_them_stays(site: Site, installation: Installation) -> None:
    first = NOW - timedelta(days=2, hours=6)
    forecast(installation, first, first + HOUR)
    judge(installation, YESTERDAY - timedelta(days=1), YESTERDAY)
    accuracy = site.contents(["prediction_accuracy"])
    assert len(site.fetch("SELECT DISTINCT date FROM retail.prediction_accuracy")) == 2

    before = datetime(2025, 6, 8, 12, tzinfo=UTC)
    oldest = "SELECT min(prediction_time), min(target_time) FROM retail.{}"
    policy = timedelta(days=90)
    names = ("predictions", "store_predictions", "staffing_plan")

    def forget(until: datetime) -> int:
        # What is dropped is not archived.
        nowhere = ArchiveFolder(site.home / "nowhere")
        return sum(one.rows for one in apply_policies(installation.database, nowhere, until + policy, names))

    assert forget(before) > 0
    for table in ("predictions", "store_predictions"):
        assert site.fetch(oldest.format(table)) == [(first, before)]
    assert forget(NOW + timedelta(days=9)) > 0
    for table in names:
        assert site.fetch(f"SELECT count(*) FROM retail.{table}") == [(0,)]
    judge(installation, YESTERDAY - timedelta(days=1), YESTERDAY)
    assert site.contents(["prediction_accuracy"]) == accuracy


def test_a_model_serves_the_origins_after_it(site: Site, installation: Installation) -> None:
    trained_to = NOW - timedelta(days=1)
    shown = train(installation, trained_to)
    assert shown["series"].value == 5
    assert "same_hour_last_week" in shown["back-test, day ahead over 4 weeks"].value
    version = shown["model version"].value
    assert version.startswith("2025-06-08-")
    assert train(installation, trained_to)["model version"].value == version
    assert site.fetch("SELECT has_learner, backtest IS NOT NULL, seed FROM retail.prediction_model") == [
        (True, True, 0)
    ]

    forecast(installation, trained_to - HOUR, trained_to)
    forecast(installation, NOW, NOW)
    served = site.fetch("SELECT DISTINCT prediction_time, model_version FROM retail.store_predictions ORDER BY 1")
    assert served == [(trained_to - HOUR, "simple_rule"), (trained_to, version), (NOW, version)]
    rows = site.frame(
        "SELECT s.sensor_name, p.* FROM retail.predictions AS p JOIN retail.sensor_metadata AS s ON s.id = p.sensor_id"
        " WHERE p.prediction_time = %(now)s",
        {"now": NOW},
    )
    assert rows["confidence_score"].between(0, 1).all()
    young = rows.loc[rows["sensor_name"] == "young", "quality"]
    assert {text["method"] for text in young} == {"new"}
    closed = rows[(rows["sensor_name"] == "kiosk") & (rows["method"] == "closed")]
    assert (closed["upper_95"] == 0).all()
    kiosk = site.fetch(
        "SELECT count(*) FROM retail.store_predictions AS t JOIN retail.sensor_metadata AS s ON s.store_id = t.store_id"
        " JOIN retail.predictions AS p ON p.sensor_id = s.id AND p.prediction_time = t.prediction_time"
        " AND p.target_time = t.target_time AND p.predicted_value = t.predicted_value WHERE s.sensor_name = 'kiosk'"
    )
    assert kiosk == [(3 * 168,)]

    # two days on the model's intervals and choices are made anew, with one camera less than it had learnt
    site.execute("UPDATE retail.sensor_metadata SET is_active = false WHERE sensor_name = 'young'")
    later = NOW + timedelta(days=1)
    assert forecast(installation, later, later)["predictions"]["model versions"].value == version
    widths = site.fetch(
        "SELECT count(DISTINCT confidence_interval_upper / predicted_value) FROM retail.predictions AS p"
        " JOIN retail.sensor_metadata AS s ON s.id = p.sensor_id WHERE s.sensor_name = 'mall-east'"
        " AND p.target_time = %(target)s AND p.model_version = %(version)s",
        {"target": later + 6 * HOUR, "version": version},
    )
    assert widths == [(3,)]

    # a model that cannot be read is named, and the simple rule answers
    site.execute("UPDATE retail.prediction_model SET model = 'spoilt'")
    assert forecast(installation, NOW, NOW)["predictions"]["model versions"].value == "simple_rule"


def test_staff_follow_the_newest_forecast(site: Site, installation: Installation) -> None:
    forecast(installation, NOW - 6 * HOUR, NOW - 6 * HOUR)
    staffing = tuple(asset for asset in PREDICTION_ASSETS if asset.keys == {dg.AssetKey("staffing_plan")})
    shown = materialize(installation, staffing, range_tags(hour_key(NOW), hour_key(NOW)))["staffing_plan"]
    assert shown["staffing plan"].value.startswith("| store | for | hour |")
    plan = site.frame(
        "SELECT t.store_name, p.* FROM retail.staffing_plan AS p JOIN retail.stores AS t ON t.id = p.store_id"
        " WHERE p.plan_time = %(now)s ORDER BY p.target_start",
        {"now": NOW},
    )
    assert set(plan["prediction_time"]) == {pd.Timestamp(NOW - 6 * HOUR)}
    mall = plan[(plan["store_name"] == "Mall") & (plan["horizon"] == "shift")]
    assert len(mall) == 18
    assert (mall["staff_needed"] == np.ceil(mall["expected_visitors"] / 20)).all()
    assert set(mall["staff_planned"]) == {2.0}
    said = [sentence for listed in mall["actions"] for sentence in listed]
    assert any(sentence.startswith("Bring in ") for sentence in said)
    of_shift = plan.loc[plan["horizon"] == "shift", "actions"]
    assert shown["calls for more staff"].value == sum(
        sentence.startswith("Bring in ") for listed in of_shift for sentence in listed
    )
    # 6 to 24 in the mall, and in the kiosk the closed hours 7 and 8 by its clock beside 9 to 21
    assert shown["planned hours"].value == 18 + 2 + 12
    kiosk = plan[(plan["store_name"] == "Kiosk") & (plan["horizon"] == "shift")]
    assert set(kiosk["target_source"]) == {"default_target"}
    assert len(kiosk) == 12
    assert json.loads(json.dumps(kiosk["quality"].iloc[0])) == {"staff_planned": "no_staff_plan"}


def test_before_the_first_camera_everything_is_empty(site: Site) -> None:
    with site.entered(RecordedInMemory) as installation:
        assert train(installation, NOW)["series"].value == 0
        assert forecast(installation, NOW, NOW)["store_predictions"]["forecasts"].value == 0
        assert judge(installation, YESTERDAY, YESTERDAY)["prediction_accuracy"]["days"].value == 0
    assert site.contents(TABLES) == {table: [] for table in TABLES}
