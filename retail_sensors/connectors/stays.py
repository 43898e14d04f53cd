"""What a camera answers about one day's stays, question by question: nine reports become one row for each region.

Here belongs which hours of the answers belong together. What one report says belongs in `milesight`, in which order
cameras are asked in `collector`, shares and mean stays in `retail_sensors.analytics.dwell`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from retail_sensors.connectors import milesight
from retail_sensors.connectors.base import Endpoint, LocalRow, Rejected
from retail_sensors.connectors.localtime import PlacedRow

QUESTIONS = 1 + len(milesight.STAY_LENGTHS)
"""How many enter the regions, then how many of them stay longer than each length."""

STAY_COLUMNS = ("detections", *(f"over_{seconds}_s" for seconds in milesight.STAY_LENGTHS))

TELLING_DETECTIONS = 20
"""So many detections do not all stay for half an hour: a camera that says so does not heed the length."""


class StayDay:
    """The answers of one camera about one local day, in the order of the questions.

    `is_over` says that no further question of the day makes sense; `rejected` gathers what its reports refused.
    """

    def __init__(self, local_day: date) -> None:
        self.local_day = local_day
        self.rejected: list[Rejected] = []
        self.is_over = False
        self._answers: list[dict[datetime, LocalRow]] = []

    @property
    def subject(self) -> str:
        """The next question in words, or all of them when they are answered."""
        if self.is_unasked or self.is_complete:
            return f"{Endpoint.REGION_STAYS.value} of {self.local_day}"
        seconds = milesight.STAY_LENGTHS[len(self._answers) - 1]
        return f"{Endpoint.REGION_STAYS.value} over {seconds} s of {self.local_day}"

    @property
    def target(self) -> str:
        """Path and query of the next question."""
        if self.is_unasked:
            return milesight.request_target(Endpoint.REGIONAL_COUNTING, self.local_day)
        return milesight.stay_target(len(self._answers) - 1, self.local_day)

    @property
    def is_unasked(self) -> bool:
        """Whether no question is answered yet."""
        return not self._answers

    @property
    def is_complete(self) -> bool:
        """Whether every question is answered."""
        return len(self._answers) == QUESTIONS

    def take(self, placed: list[PlacedRow]) -> None:
        """The answer to the next question. Where nobody was detected at all, it answers the others as well."""
        answer = {row.start: row.row for row in placed}
        is_first = self.is_unasked
        self._answers.append(answer)
        if is_first and not any(any(row.values) for row in answer.values()):
            self._answers *= QUESTIONS

    def regions(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Region number and the values of STAY_COLUMNS, over the hours that every answer holds.

        A region that the camera does not report is left out.
        """
        hours = set.intersection(*(set(answer) for answer in self._answers))
        for region in range(4):
            cells = [[answer[hour].values[region] for answer in self._answers] for hour in sorted(hours)]
            known = [row for row in cells if None not in row]
            if known:
                yield region + 1, tuple(sum(int(value or 0) for value in column) for column in zip(*known, strict=True))

    @property
    def heeds_no_length(self) -> bool:
        """Whether every answer is that to the first question: firmware that knows no lengths."""
        found = [values for _, values in self.regions()]
        detections = sum(values[0] for values in found)
        return detections >= TELLING_DETECTIONS and all(len(set(values)) == 1 for values in found)
