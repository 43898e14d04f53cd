"""What the body of an answer says: its rows, its reading of now, its map, and what of it was refused.

Bodies are parsed in the vendor's module; labels become instants in `localtime`.
"""

from __future__ import annotations

from collections.abc import Callable

from retail_sensors.connectors import milesight
from retail_sensors.connectors.base import Endpoint, LocalRow, Outcome, Parsed, Rejected
from retail_sensors.connectors.http import Answer

_PARSERS: dict[Endpoint, Callable[..., Parsed]] = {
    Endpoint.PEOPLE_COUNTING: milesight.parse_people,
    Endpoint.REGIONAL_COUNTING: milesight.parse_regional,
    Endpoint.HEATMAP_TEMPORAL: milesight.parse_heatmap,
    Endpoint.REGION_STAYS: milesight.parse_regional,
}


class Reading:
    """What the body of a question's last try says; handed to the HTTP client as the judge of each try."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.rows: list[LocalRow] = []
        self.alarm: milesight.ParsedAlarm | None = None
        self.map: milesight.ParsedMap | None = None
        self.rejected: list[Rejected] = []

    def judge(self, body: bytes, is_framed: bool) -> tuple[Outcome, str | None]:
        if self._endpoint is Endpoint.ALARM_STATUS:
            alarm = milesight.parse_alarm(body, is_framed=is_framed)
            self.alarm = alarm if alarm.outcome is Outcome.OK else None
            outcome, self.rejected = alarm.outcome, alarm.rejected
        elif self._endpoint is Endpoint.SPATIAL_HEATMAP:
            self.map = milesight.parse_spatial(body, is_framed=is_framed)
            outcome, self.rejected = self.map.outcome, self.map.rejected
        else:
            parsed = _PARSERS[self._endpoint](body, is_framed=is_framed)
            self.rows = parsed.rows
            outcome, self.rejected = parsed.outcome, parsed.rejected
        if outcome.is_answer:
            return outcome, None
        return outcome, self.rejected[-1].reason if self.rejected else "the report stops before the day's last hour"

    def settle(self, answer: Answer) -> None:
        """Keep what belongs to the last try: a try that broke off was not judged, the one before it may have been."""
        if answer.outcome.is_answer or (answer.outcome is Outcome.NOT_DATA and answer.http_status == 200):
            return
        self.rows, self.alarm, self.map, self.rejected = [], None, None, []
        if answer.outcome is Outcome.TOO_LARGE:
            self.rejected = [Rejected("the answer is longer than any report", answer.body)]
        elif answer.http_status == 200 and answer.body.strip():
            # The rows that did arrive are whole, all but the last. Pieces of a header say nothing worth keeping.
            outcome, _ = self.judge(answer.body, is_framed=False)
            if outcome is Outcome.NOT_DATA:
                self.rejected = []
