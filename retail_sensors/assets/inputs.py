"""What is known beside the cameras: holidays and the calendar of retail weeks.

Till feed, staff, weather and counted queues are loaded by the command line.
"""

from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from retail_sensors.analytics.holidays import places, public_holidays, without_files
from retail_sensors.analytics.retail_calendar import calendar_days
from retail_sensors.analytics.roster import Roster
from retail_sensors.assets.metadata import OWNERS, markdown_table, table_metadata
from retail_sensors.partitions import FIRST_DAY
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.inputs import Inputs
from retail_sensors.tables.inputs import HOLIDAYS, RETAIL_CALENDAR, STORE_SUBDIVISIONS

_YEARS_AHEAD = 2
_FIRST_YEAR = FIRST_DAY.year - 1
"""Days of the first year that can be collected are compared with the year before."""


@dg.asset(
    description=f"{HOLIDAYS.row} The public holidays of the countries of all registered stores, up to two years ahead, as the "
    "Python package holidays knows them. What a user has loaded stands; school holidays come only from files.",
    metadata=table_metadata(HOLIDAYS, "merge"),
    group_name="inputs",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "inputs"},
)
def holidays(
    context: dg.AssetExecutionContext, database: DatabaseResource, clock: ClockResource
) -> dg.MaterializeResult[pd.DataFrame]:
    today = clock.now().date()
    years = range(_FIRST_YEAR, today.year + _YEARS_AHEAD + 1)
    roster = database.roster()
    where = places(roster, database.read_all(STORE_SUBDIVISIONS))
    lying = where[["country", "subdivision"]].itertuples(index=False, name=None)
    wanted = {(country, part) for country, own in lying for part in ("", own)}
    given, unknown = public_holidays(wanted, years)
    _warn(context, roster, unknown)
    forgotten = Inputs(database.database).forget_library_holidays(given, years)
    rows = without_files(given, database.read_all(HOLIDAYS))
    return dg.MaterializeResult(value=rows, metadata={**_summary(rows, unknown, today), "holidays gone": forgotten})


def _warn(context: dg.AssetExecutionContext, roster: Roster, unknown: tuple[tuple[str, str], ...]) -> None:
    """Says of which stores the holidays stay unknown, and how to mend it."""
    for country, part in unknown:
        if part and (country, "") not in unknown:
            context.log.warning(
                f"The package holidays knows no part {part} of {country}: its stores get the holidays of the whole country and "
                "those of files. Check `store_subdivisions`."
            )
        elif not part:
            context.log.warning(
                f"The package holidays does not know the country {country}: its stores have no holidays but those of files, "
                "`retail-sensors load holidays FILE`."
            )
    without = roster.stores.loc[roster.stores["country"].isna(), "store_name"].tolist()
    if without:
        context.log.warning(f"Stores without a country have no holidays: {', '.join(sorted(without)[:12])}.")


def _summary(rows: pd.DataFrame, unknown: tuple[tuple[str, str], ...], today: date) -> dict[str, Any]:
    """Numbers of the holidays, and a table of those that come next."""
    is_ahead = np.array([day >= today for day in rows["date"]], dtype=bool)
    ahead = rows[is_ahead].sort_values(["date", "country", "subdivision"])
    table = pd.DataFrame(
        {
            "day": [f"{day:%a %Y-%m-%d}" for day in ahead["date"]],
            "country": ahead["country"].array,
            "part": ahead["subdivision"].array,
            "holiday": ahead["holiday_name"].array,
        }
    )
    return {
        "holidays": len(rows),
        "countries": int(rows["country"].nunique()),
        "unknown places": len(unknown),
        "next holidays": markdown_table(table, limit=30),
    }


@dg.asset(
    description=f"{RETAIL_CALENDAR.row} From the first year that can be collected up to two years ahead, for whoever plans by weeks.",
    metadata=table_metadata(RETAIL_CALENDAR, "merge"),
    group_name="inputs",
    owners=OWNERS,
    kinds={"pandas", "postgres"},
    tags={"domain": "inputs"},
)
def retail_calendar(clock: ClockResource) -> dg.MaterializeResult[pd.DataFrame]:
    first, end = date(_FIRST_YEAR, 1, 1), date(clock.now().year + _YEARS_AHEAD + 1, 1, 1)
    return dg.MaterializeResult(value=calendar_days(first, end))


INPUT_ASSETS = (holidays, retail_calendar)
