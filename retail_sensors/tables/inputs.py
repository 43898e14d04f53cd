"""What the store brings beside its cameras: till feed, staff, weather, holidays, counted queues.

Holidays are written by the asset of that name and by files, the rest by `retail-sensors load`. How a file is read belongs in
`storage.inputs`, what follows from the days in `analytics.holidays`.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, store_id, updated_at


def _hour_start() -> Column:
    return Column(
        "hour_start",
        Kind.TIMESTAMP,
        "Start of the store's local hour as an instant; half past in zones with a half-hour offset.",
        nullable=False,
    )


HOLIDAYS = Table(
    name="holidays",
    row="One named holiday on one date in one country, or in one part of it.",
    key=("country", "subdivision", "date", "holiday_name"),
    time_column="date",
    columns=(
        Column("country", Kind.TEXT, "ISO 3166-1 alpha-2 code.", nullable=False),
        Column(
            "subdivision",
            Kind.TEXT,
            "Part of the country as in ISO 3166-2 without the country, such as `BY`. Empty: the whole country.",
            nullable=False,
        ),
        Column("date", Kind.DATE, "Calendar date.", nullable=False),
        Column(
            "holiday_name",
            Kind.TEXT,
            "Name, the same every year; in English where the library gave it.",
            nullable=False,
        ),
        Column("kind", Kind.TEXT, "`public`, or `school` for days without school.", nullable=False),
        Column(
            "source",
            Kind.TEXT,
            "`library`: the Python package holidays; `file`: loaded by a user, and not overwritten by the library.",
            nullable=False,
        ),
        updated_at(),
    ),
)
STORE_SUBDIVISIONS = Table(
    name="store_subdivisions",
    row="The part of its country that a store lies in, where that decides its holidays.",
    key=("store_id",),
    columns=(
        store_id(),
        Column(
            "subdivision",
            Kind.TEXT,
            "Part of the country as in ISO 3166-2 without the country, such as `BY`.",
            nullable=False,
        ),
        updated_at(),
    ),
)
RETAIL_CALENDAR = Table(
    name="retail_calendar",
    row="One date of the 4-5-4 calendar, with the days of the year before that it is compared with.",
    key=("date",),
    time_column="date",
    columns=(
        Column("date", Kind.DATE, "Calendar date.", nullable=False),
        Column(
            "retail_year", Kind.INTEGER, "Retail year; it ends on the Saturday nearest to January 31.", nullable=False
        ),
        Column("retail_week", Kind.INTEGER, "Week of the retail year, Sunday to Saturday, 1 to 53.", nullable=False),
        Column("retail_period", Kind.INTEGER, "1 (February) to 12 (January), of 4, 5 and 4 weeks.", nullable=False),
        Column("retail_weekday", Kind.INTEGER, "1 (Sunday) to 7.", nullable=False),
        Column("like_for_like_date", Kind.DATE, "364 days before: the same weekday, restated.", nullable=False),
        Column(
            "same_week_date",
            Kind.DATE,
            "Same weekday of the same week number a retail year before, not restated. NULL: a week 53 that the year before lacks.",
        ),
        updated_at(),
    ),
)
POS_TRANSACTIONS = Table(
    name="pos_transactions",
    row="What the tills of one store took in one hour. An hour without a row is not known; a day is the sum of its rows, so a "
    "feed brings whole days.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=(
        store_id(),
        _hour_start(),
        Column("transactions", Kind.INTEGER, "Receipts.", nullable=False),
        Column("sales", Kind.NUMERIC, "Turnover. NULL: not said.", unit="currency"),
        Column("units", Kind.NUMERIC, "Articles sold; a weight makes fractions. NULL: not said."),
        Column("currency", Kind.TEXT, "ISO 4217 code of the sales. NULL: there are none."),
        updated_at(),
    ),
)
STAFF_HOURS = Table(
    name="staff_hours",
    row="Who worked in one store in one hour, by plan or by clock.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=(
        store_id(),
        _hour_start(),
        Column(
            "staff",
            Kind.NUMERIC,
            "People on the floor, mean of the hour: its staff hours.",
            nullable=False,
            unit="people",
        ),
        Column("lanes_open", Kind.NUMERIC, "Tills open, mean of the hour. NULL: not said.", unit="lanes"),
        updated_at(),
    ),
)
WEATHER_HOURLY = Table(
    name="weather_hourly",
    row="The weather at one store in one hour; for an hour to come the latest forecast.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=(
        store_id(),
        _hour_start(),
        Column("temperature_c", Kind.DOUBLE, "Mean air temperature. NULL: not said.", unit="degrees Celsius"),
        Column("precipitation_mm", Kind.DOUBLE, "Rain and melted snow. NULL: not said.", unit="mm"),
        Column("wind_kmh", Kind.DOUBLE, "Mean wind speed. NULL: not said.", unit="km/h"),
        updated_at(),
    ),
)
QUEUE_GROUND_TRUTH = Table(
    name="queue_ground_truth",
    row="What somebody saw of the queue at one store's tills in one hour, watching all or some of its minutes.",
    key=("store_id", "hour_start"),
    time_column="hour_start",
    columns=(
        store_id(),
        _hour_start(),
        Column("minutes_counted", Kind.INTEGER, "How much of the hour was watched.", nullable=False, unit="min"),
        Column(
            "actual_queue_length",
            Kind.NUMERIC,
            "Mean number of people waiting while watched, those being served left out. NULL: not counted.",
            unit="people",
        ),
        Column("actual_wait_minutes", Kind.NUMERIC, "Mean wait of those who were served. NULL: not timed.", unit="min"),
        Column("served", Kind.INTEGER, "Customers served while watched. NULL: not counted.", unit="people"),
        Column(
            "abandoned", Kind.INTEGER, "Customers who left the queue while watched. NULL: not counted.", unit="people"
        ),
        Column("counted_by", Kind.TEXT, "Who or what counted.", nullable=False),
        updated_at(),
    ),
)

INPUT_TABLES: tuple[Table, ...] = (
    HOLIDAYS,
    STORE_SUBDIVISIONS,
    RETAIL_CALENDAR,
    POS_TRANSACTIONS,
    STAFF_HOURS,
    WEATHER_HOURLY,
    QUEUE_GROUND_TRUTH,
)
