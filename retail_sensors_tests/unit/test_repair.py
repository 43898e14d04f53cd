"""Which gap is asked for next, and what is remembered of those that were asked for in vain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from retail_sensors.connectors.base import Endpoint
from retail_sensors.storage.repair import (
    BACK_OFF,
    Asked,
    Gap,
    Span,
    next_gap,
    still_asked,
    with_gap,
)

NOW = datetime(2026, 7, 18, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PEOPLE, HEAT = Endpoint.PEOPLE_COUNTING, Endpoint.HEATMAP_TEMPORAL


def owed(camera: str, first: int, last: int, endpoint: Endpoint = PEOPLE) -> Span:
    return Span(camera, endpoint, first, last)


def test_the_oldest_unbroken_range_is_asked_of_the_cameras_that_owe_some_of_it() -> None:
    spans = [owed("a", 10, 14), owed("b", 15, 16), owed("b", 13, 13, HEAT), owed("c", 18, 20)]
    assert next_gap(spans, {}, NOW, 72) == Gap(10, 16, {HEAT: ["b"], PEOPLE: ["a", "b"]})


def test_a_long_gap_is_cut_and_its_rest_comes_next() -> None:
    spans = [owed("a", 0, 99), owed("b", 80, 85)]
    gap = next_gap(spans, {}, NOW, 72)
    assert gap == Gap(0, 71, {PEOPLE: ["a"]})
    asked = with_gap({}, spans, gap, NOW)
    assert asked == {"a": Asked(0, 71, NOW + 10 * MINUTE)}
    # Nothing came of it: the next ticks ask who was not asked yet, and step past what blocks.
    gap = next_gap(spans, asked, NOW + MINUTE, 72)
    assert gap == Gap(80, 85, {PEOPLE: ["b"]})
    asked = with_gap(asked, spans, gap, NOW + MINUTE)
    assert next_gap(spans, asked, NOW + 2 * MINUTE, 72) == Gap(72, 99, {PEOPLE: ["a"]})


def test_a_camera_with_many_holes_that_gives_nothing_keeps_no_other_waiting() -> None:
    holes = [owed("broken", hour, hour) for hour in range(0, 60, 10)]
    asked = with_gap({}, holes, Gap(0, 0, {PEOPLE: ["broken"]}), NOW)
    back = owed("back", 100, 170)
    assert next_gap([*holes, back], asked, NOW + 10 * MINUTE, 72) == Gap(100, 170, {PEOPLE: ["back"]})
    assert next_gap(holes, asked, NOW + 9 * MINUTE, 72) == Gap(10, 10, {PEOPLE: ["broken"]})


def test_with_time_running_backwards_the_newest_hours_come_first() -> None:
    spans = [owed("a", 0, 99).mirrored()]
    gap = next_gap(spans, {}, NOW, 72)
    assert gap is not None
    assert gap.mirrored() == Gap(28, 99, {PEOPLE: ["a"]})
    rest = next_gap(spans, with_gap({}, spans, gap, NOW), NOW, 72)
    assert rest is not None
    assert rest.mirrored() == Gap(0, 27, {PEOPLE: ["a"]})


def test_what_is_asked_in_vain_is_left_alone_for_longer_each_time() -> None:
    spans, asked, now = [owed("a", 5, 6)], dict[str, Asked](), NOW
    for wait in (*BACK_OFF, BACK_OFF[-1]):
        gap = next_gap(spans, asked, now, 72)
        assert gap == Gap(5, 6, {PEOPLE: ["a"]})
        asked = still_asked(with_gap(asked, spans, gap, now), spans, now)
        assert next_gap(spans, asked, now + wait - MINUTE, 72) is None
        now += wait
    assert asked["a"].attempts == len(BACK_OFF) - 1


def test_a_newer_gap_does_not_wait_for_an_older_one() -> None:
    asked = {"a": Asked(3, 6, NOW + timedelta(hours=20))}
    spans = [owed("a", 5, 6), owed("a", 9, 9)]
    gap = next_gap(spans, asked, NOW, 72)
    assert gap == Gap(9, 9, {PEOPLE: ["a"]})
    assert with_gap(asked, spans, gap, NOW)["a"].mark == 9


def test_what_was_given_is_forgotten_and_a_new_gap_starts_anew() -> None:
    asked = {"a": Asked(3, 6, NOW + timedelta(hours=20)), "b": Asked(1, 6, NOW + MINUTE), "c": Asked(1, 6, NOW)}
    # a gave 5 and 6 and owes another hour; b and c owe nothing, or are offline.
    spans = [owed("a", 9, 9)]
    kept = still_asked(asked, spans, NOW)
    assert kept == {"b": asked["b"]}
    gap = next_gap(spans, kept, NOW, 72)
    assert gap is not None
    assert with_gap(kept, spans, gap, NOW)["a"] == Asked(0, 9, NOW + BACK_OFF[0])


SPANS = st.lists(
    st.builds(
        lambda camera, endpoint, first, length: Span(camera, endpoint, first, first + length),
        st.sampled_from("abc"),
        st.sampled_from([PEOPLE, HEAT]),
        st.integers(-300, 300),
        st.integers(0, 150),
    ),
    max_size=12,
)


@given(spans=SPANS, most=st.integers(1, 72))
def test_every_hour_is_asked_for_once_in_a_round_and_none_that_nobody_owes(spans: list[Span], most: int) -> None:
    asked: dict[str, Asked] = {}
    seen: set[tuple[str, Endpoint, int]] = set()
    wanted = {(span.camera, span.endpoint, hour) for span in spans for hour in range(span.first, span.last + 1)}
    while (gap := next_gap(spans, asked, NOW, most)) is not None:
        assert 0 < gap.last - gap.first + 1 <= most
        hours = range(gap.first, gap.last + 1)
        round_of = {
            (camera, endpoint, hour) for endpoint, names in gap.cameras.items() for camera in names for hour in hours
        }
        for camera in {name for names in gap.cameras.values() for name in names}:
            assert any((camera, endpoint, hour) in wanted for endpoint in (PEOPLE, HEAT) for hour in hours)
        assert (round_of & wanted) - seen
        assert {hour for _, _, hour in round_of & wanted} >= {gap.first, gap.last}
        seen |= round_of & wanted
        asked = with_gap(asked, spans, gap, NOW)
        assert set(asked) <= {span.camera for span in spans}
    assert seen == wanted
