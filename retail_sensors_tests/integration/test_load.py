"""`retail-sensors load` and the asset `holidays` on a real Postgres: what is stored, what is refused, and what is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import dedent
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from retail_sensors.assets.inputs import INPUT_ASSETS
from retail_sensors.cli.load import FileKind, load
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.inputs import KINDS, hour_of
from retail_sensors_tests.installations import Said, Site, fresh_database

HOUR = datetime(2025, 7, 22, 9, tzinfo=UTC)


class Loader:
    """An installation with stores, and files to load into it."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def file(self, text: str) -> Path:
        path = self.site.home / "file.csv"
        path.write_text(dedent(text))
        return path

    def __call__(self, kind: str, text: str, *options: str) -> Said:
        return self.site.run("load", kind, self.file(text), *options)

    def said(self, kind: str, text: str, *options: str) -> str:
        """What a load that goes through says, without the file's folder."""
        said = self(kind, text, *options)
        assert (said.code, said.err) == (0, "")
        return said.out.replace(f"{self.site.home}/", "").strip()

    def refused(self, kind: str, text: str) -> list[str]:
        """The faults of a file that is refused, each without the file's name."""
        said = self(kind, text)
        assert (said.code, said.out) == (2, "")
        assert "Traceback" not in said.err
        *faults, last = said.err.removeprefix("retail-sensors: ").strip().split("\n")
        assert last.startswith("Nothing was loaded."), said.err
        return [fault.removeprefix(f"{self.site.home}/file.csv, ") for fault in faults] + [last]


@pytest.fixture(scope="module")
def shop(server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """Lisbon and Mumbai of one organization, and another's Lisbon in California."""
    home = tmp_path_factory.mktemp("load")
    with fresh_database(server_url, template_database) as url:
        site = Site(url, home)
        site.run("db", "upgrade")
        site.execute(
            "WITH o AS (INSERT INTO retail.organizations (organization_name) VALUES ('North'), ('South')"
            " RETURNING id, organization_name)"
            " INSERT INTO retail.stores (organization_id, store_name, timezone, country)"
            " SELECT o.id, s.name, s.zone, s.country FROM o JOIN (VALUES"
            " ('North', 'Porto', 'Europe/Lisbon', 'PT'), ('North', 'Mumbai', 'Asia/Kolkata', 'IN'),"
            " ('North', 'Lisbon', 'Europe/Lisbon', 'PT'), ('South', 'Lisbon', 'America/Los_Angeles', 'US'),"
            " ('South', 'Atlantis', 'UTC', 'XX'), ('South', 'Nowhere', 'UTC', NULL))"
            " AS s (organization, name, zone, country) ON s.organization = o.organization_name"
        )
        yield Loader(site)


def test_a_till_feed_is_loaded_once_and_told_what_changed(shop: Loader) -> None:
    text = """\
        store,hour,transactions,sales,units,currency
        Porto,2025-07-22 10:00,12,340.50,31,eur
        Porto,2025-07-22T11:00,0,0,0,EUR
        Mumbai,2025-07-22 10:00,7,,,
        Porto,2025-07-22 12:00+02:00,12,1,,EUR
        """
    dry = shop.said("transactions", text.replace("12:00+02:00", "13:00+01:00"), "--dry-run")
    assert dry == (
        "Nothing was loaded. file.csv would bring 4 rows into retail.pos_transactions: 4 added, 0 changed, 0 unchanged."
    )
    assert shop.site.fetch("SELECT count(*) FROM retail.pos_transactions") == [(0,)]
    # 12:00 in Berlin is 11:00 in Porto, which stands in the file already
    assert "line 5: says otherwise of the same hour as line 3" in shop.refused("transactions", text)[0]
    text = text.replace("12:00+02:00", "13:00+01:00")
    assert shop.said("transactions", text) == (
        "Loaded 4 rows of file.csv into retail.pos_transactions: 4 added, 0 changed, 0 unchanged."
    )
    rows = shop.site.fetch(
        "SELECT s.store_name, p.hour_start, p.transactions, p.sales, p.units, p.currency FROM retail.pos_transactions AS p"
        " JOIN retail.stores AS s ON s.id = p.store_id ORDER BY 1, 2"
    )
    assert [(row[0], row[1], row[2], None if row[3] is None else float(row[3]), row[5]) for row in rows] == [
        ("Mumbai", datetime(2025, 7, 22, 4, 30, tzinfo=UTC), 7, None, None),
        ("Porto", HOUR, 12, 340.5, "EUR"),
        ("Porto", HOUR.replace(hour=10), 0, 0.0, "EUR"),
        ("Porto", HOUR.replace(hour=12), 12, 1.0, "EUR"),
    ]
    before = shop.site.contents(["pos_transactions"])
    assert shop.said("transactions", text) == (
        "Nothing to change: retail.pos_transactions holds 4 rows of file.csv already."
    )
    assert shop.site.contents(["pos_transactions"]) == before
    doubled = "store,hour,transactions\nPorto,2025-07-22 15:00,1\nPorto,2025-07-22 15:00,1\n"
    assert shop.said("transactions", doubled).split("\n") == [
        "Said twice in the file, and taken once: 1 row",
        "Loaded 1 row of file.csv into retail.pos_transactions: 1 added, 0 changed, 0 unchanged.",
    ]


def test_every_fault_is_told_with_line_column_and_remedy(shop: Loader) -> None:
    before = shop.site.contents(["pos_transactions"])
    faults = shop.refused(
        "transactions",
        """\
        store,hour,transactions,sales,currency
        Porto,2025-07-21 10:00,-3,5,EUR
        Proto,2025-07-21 10:00,3,5,EUR
        Lisbon,2025-07-21 10:00,3,5,EUR
        Porto,2025-07-21 10:30,3,5,EUR
        Porto,21.07.2025 10h,3,"5,20",EUR
        Porto,2025-03-30 01:00,3,5,EUR
        Porto,2025-10-26 01:00,3,5,EUR
        Porto,2025-07-21 11:00,3,5,

        Porto,2025-07-21 12:00,3
        Porto,2025-02-30 12:00,3.5,inf,EUR
        Porto,2125-07-21 12:00,3,5,EURO
        Porto,2095-07-21 12:00,,5,EUR
        Mumbai,2025-07-21 10:00Z,3,5,INR
        Porto,2025-07-21 13:00,1000000,5,EUR
        Porto,2025-07-21 14:00,5,999999999999.999999999,EUR
        """,
    )
    assert [fault.split(";")[0] for fault in faults] == [
        "line 2, column transactions: '-3' is negative",
        "line 3, column store: no store is registered as 'Proto'",
        "line 4, column store: several organizations have a store 'Lisbon'",
        "line 5, column hour: '2025-07-21 10:30' is 10:30:00 by the store's clock (Europe/Lisbon)",
        "line 6, column hour: '21.07.2025 10h' is not an hour",
        "line 6, column sales: '5,20' has a comma",
        "line 7, column hour: '2025-03-30 01:00' never came in Europe/Lisbon, where clocks went forward",
        "line 8, column hour: '2025-10-26 01:00' came twice in Europe/Lisbon, where clocks went back",
        "line 9, column currency: sales need their currency",
        "line 11: has 3 cells below 5 columns",
        "line 12, column hour: '2025-02-30 12:00' does not exist",
        "line 12, column sales: 'inf' is not a number that can be meant",
        "line 12, column transactions: '3.5' is not a whole number",
        "line 13, column currency: 'EURO' is not a code of 3 letters",
        "line 13, column hour: '2125-07-21 12:00' is not in 2000 to 2100",
        "line 14, column hour: '2095-07-21 12:00' lies in the future",
        "line 14, column transactions: is empty",
        "line 15, column hour: '2025-07-21 10:00Z' is 15:30:00 by the store's clock (Asia/Kolkata)",
        "line 16, column transactions: 1000000 is no number of receipts of one store and hour",
        "line 17, column sales: '999999999999.999999999' is not a number that can be meant",
        "Nothing was loaded.",
    ]
    assert faults[1].endswith("did you mean 'Porto'?")
    assert "write one of North, South in column organization" in faults[2]
    assert "write 2025-10-26 01:00+01:00 for the first or 2025-10-26 01:00+00:00 for the second" in faults[7]
    assert shop.site.contents(["pos_transactions"]) == before


def test_at_most_twenty_faults_are_shown_and_the_rest_counted(shop: Loader) -> None:
    lines = "".join(f"Porto,2025-07-01 {hour:02}:00,x\n" for hour in range(23))
    faults = shop.refused("staff", f"store,hour,staff\n{lines}")
    assert len(faults) == 21
    assert faults[-1] == "Nothing was loaded. 3 more faults not shown."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("store;hour;staff\nPorto;x;1\n", "line 1: separates the columns by something else; separate them by commas"),
        ("store,hour\n", "line 1, column staff: is missing; the file needs it"),
        ("store,hour,staff,stuff\n", "line 1, column stuff: is not one of staff; did you mean 'staff'?"),
        ("store,hour,staff,staff\n", "line 1, column staff: stands twice; keep one"),
        ('store,hour,staff\n"Porto,2025-07-22 10:00,1\n', "line 2: is not CSV (unexpected end of data)"),
    ],
)
def test_a_file_of_another_form_is_refused(shop: Loader, text: str, fault: str) -> None:
    assert shop.refused("staff", text)[0].startswith(fault)


def test_files_without_rows_or_that_are_not_there_are_refused(shop: Loader) -> None:
    assert shop("staff", "store,hour,staff\n\n").sentence.endswith(
        "has no rows below its heading; there is nothing to load."
    )
    assert shop("staff", "").sentence.endswith("is empty; there is nothing to load.")
    assert "There is no file" in shop.site.run("load", "staff", shop.site.home / "none.csv").sentence


def test_staff_weather_and_counted_queues_are_loaded(shop: Loader) -> None:
    shop.said("staff", "store,hour,staff,lanes_open\nPorto,2025-07-22 10:00,4.5,2\nPorto,2025-07-22 11:00,5,\n")
    shop.said("weather", "store,hour,temperature_c,precipitation_mm\nPorto,2095-01-22 10:00,-3.5,0.2\n")
    shop.said(
        "queue-counts",
        "organization,store,hour,counted_by,minutes_counted,actual_queue_length,served,abandoned\n"
        "South,Lisbon,2025-07-22 10:00,Ana,30,2.5,17,1\nNorth,Lisbon,2025-07-22 10:00,Rui,,,20,\n",
    )
    assert shop.site.fetch("SELECT staff::float, lanes_open::float FROM retail.staff_hours ORDER BY hour_start") == [
        (4.5, 2.0),
        (5.0, None),
    ]
    assert shop.site.fetch("SELECT temperature_c, precipitation_mm, wind_kmh FROM retail.weather_hourly") == [
        (-3.5, 0.2, None)
    ]
    assert shop.site.fetch(
        "SELECT hour_start, minutes_counted, actual_queue_length::float, actual_wait_minutes, served, abandoned, counted_by"
        " FROM retail.queue_ground_truth ORDER BY counted_by"
    ) == [
        (HOUR.replace(hour=17), 30, 2.5, None, 17, 1, "Ana"),
        (HOUR, 60, None, None, 20, None, "Rui"),
    ]
    assert "the row says nothing" in shop.refused("weather", "store,hour,wind_kmh\nPorto,2025-07-22 10:00,\n")[0]
    assert "check the unit" in shop.refused("weather", "store,hour,temperature_c\nPorto,2025-07-22 10:00,77\n")[0]


class FixedClock(ClockResource):
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2025, 7, 22, 12, tzinfo=UTC)


def _materialize(site: Site) -> tuple[dg.AssetMaterialization, list[str]]:
    """What a run of the asset said of itself, and its warnings."""
    with site.entered(), dg.DagsterInstance.ephemeral() as instance:
        database = DatabaseResource()
        result = dg.materialize(
            list(INPUT_ASSETS),
            resources={
                "database": database,
                "clock": FixedClock(),
                "io_manager": PostgresIOManager(database=database),
            },
            instance=instance,
        )
        assert result.success
        [event] = result.asset_materializations_for_node("holidays")
        return event, [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if not entry.is_dagster_event and entry.level == logging.WARNING
        ]


def test_holidays_come_from_the_library_and_from_files(shop: Loader) -> None:
    shop.said("subdivisions", "store,organization,subdivision\nLisbon,South,CA\nMumbai,,ZZ\n")
    assert shop.said(
        "holidays",
        """\
        country,subdivision,date,last_date,holiday_name,kind
        PT,,2025-06-14,2025-06-16,Summer holidays,school
        PT,,2025-12-25,,Christmas Day,
        """,
    ) == ("Loaded 4 rows of file.csv into retail.holidays: 4 added, 0 changed, 0 unchanged.")
    shop.site.execute(
        "INSERT INTO retail.holidays (country, subdivision, date, holiday_name, kind, source) VALUES"
        " ('PT', '', '2025-05-02', 'Moved Day', 'public', 'library'), ('PT', '', '2020-05-02', 'Old Day', 'public', 'library'),"
        " ('ES', '', '2025-05-02', 'Of no store', 'public', 'library')"
    )
    event, warnings = _materialize(shop.site)
    assert event.metadata["holidays gone"].value == 1
    assert event.metadata["unknown places"].value == 2
    assert "| Fri 2025-08-15 | PT |  | Assumption Day |" in str(event.metadata["next holidays"].value)
    assert [warning.split(";")[0].split(":")[0] for warning in warnings] == [
        "The package holidays knows no part ZZ of IN",
        "The package holidays does not know the country XX",
        "Stores without a country have no holidays",
    ]
    rows = dict(
        shop.site.fetch(
            "SELECT date, source FROM retail.holidays WHERE country = 'PT' AND kind = 'public' AND"
            " date BETWEEN '2025-01-01' AND '2025-12-31'"
        )
    )
    assert rows[date(2025, 4, 25)] == "library"
    assert rows[date(2025, 12, 25)] == "file"
    assert date(2025, 5, 2) not in rows
    assert shop.site.fetch(
        "SELECT country, min(extract(year FROM date))::int, max(extract(year FROM date))::int FROM retail.holidays"
        " WHERE source = 'library' AND country <> 'ES' AND date > '2021-01-01' GROUP BY 1 ORDER BY 1"
    ) == [("IN", 2022, 2027), ("PT", 2022, 2027), ("US", 2022, 2027)]
    assert shop.site.fetch(
        "SELECT subdivision FROM retail.holidays WHERE holiday_name = 'Columbus Day' AND date = '2025-10-13'"
    ) == [("",)]
    before = shop.site.contents(["holidays"])
    event, _ = _materialize(shop.site)
    assert (event.metadata["rows inserted"].value, event.metadata["rows changed"].value) == (0, 0)
    assert shop.site.contents(["holidays"]) == before


def test_the_help_names_each_kind_with_its_columns() -> None:
    assert [kind.value for kind in FileKind] == list(KINDS)
    described = " ".join((load.__doc__ or "").split())
    for kind in KINDS.values():
        for column in kind.columns:
            is_required = column in kind.required
            assert f"{column}{'' if is_required or column == 'organization' else '?'}" in described, (kind.name, column)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-07-22 10:00", "Europe/Lisbon", "2025-07-22T09:00"),
        ("2025-07-22 9:00", "Asia/Kolkata", "2025-07-22T03:30"),
        ("2025-07-22T10:00:00", "UTC", "2025-07-22T10:00"),
        ("2025-10-26 01:00+01:00", "Europe/Lisbon", "2025-10-26T00:00"),
        ("2025-10-26 01:00+00:00", "Europe/Lisbon", "2025-10-26T01:00"),
        ("2025-07-22 10:00 +0200", "Europe/Lisbon", "2025-07-22T08:00"),
        ("2025-07-22 10:30Z", "Asia/Kolkata", "2025-07-22T10:30"),
    ],
)
def test_an_hour_is_the_stores_wall_clock_or_an_instant(text: str, zone: str, expected: str) -> None:
    assert hour_of(text, ZoneInfo(zone)) == datetime.fromisoformat(f"{expected}+00:00")
