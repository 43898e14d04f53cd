"""Simulated till feeds and rosters belong to the people who were simulated, and `load` takes them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore, demo_fleet
from retail_sensors.simulator.tills import leaving, write_tills
from retail_sensors.simulator.traffic import Generated, OpeningHours

START = datetime(2025, 10, 25, 22, tzinfo=UTC)
END = START + timedelta(days=2)
HOUR = timedelta(hours=1)


def test_nobody_buys_who_does_not_leave_and_every_hour_has_a_line(tmp_path: Path) -> None:
    fleet = demo_fleet(lambda: END)
    till, roster = tmp_path / "till.csv", tmp_path / "roster.csv"
    write_tills(fleet, START, END, till, roster)
    sold, staffed = pd.read_csv(till), pd.read_csv(roster)
    people = list(leaving(fleet, START, END))
    # A zone at half past has its own 48 hours in the window.
    assert len(sold) == len(staffed) == len(people) == 3 * 48
    assert not sold.duplicated(["store", "hour"]).any()
    assert (sold["transactions"] <= [count for *_, count in people]).all()
    assert (sold["units"] >= sold["transactions"]).all()
    assert ((sold["sales"] > 0) == (sold["units"] > 0)).all()
    assert (staffed["lanes_open"] > 0).eq(sold["transactions"] > 0).all()
    share = sold["transactions"].sum() / sum(count for *_, count in people)
    assert 0.24 < share < 0.32


def test_who_leaves_is_who_left_over_all_doors() -> None:
    fleet = demo_fleet(lambda: END)
    found: dict[str, int] = defaultdict(int)
    for store, _, count in leaving(fleet, START, END):
        found[store] += count
    lisbon = [camera for camera in fleet.cameras.values() if camera.store == "Lisbon Baixa"]
    expected = sum(
        hour.counts.lines[number - 1][1]
        for camera in lisbon
        for hour in camera.truth(datetime(2025, 10, 25, 23), datetime(2025, 10, 27, 22))  # noqa: DTZ001 -- local labels
        if hour.counts is not None
        for number, role in camera.lines.items()
        if role == "entrance"
    )
    assert found["Lisbon Baixa"] == expected > 0


def test_the_hours_are_instants_whatever_the_zone_of_the_camera() -> None:
    shop = SimulatedStore("s", "Europe/Lisbon", "PT", OpeningHours.daily("00:00-24:00"), 10, 10.0)
    camera = SimulatedCamera("a", "Asia/Tokyo", Generated(seed=1, opening_hours=shop.opening_hours), store="s")
    fleet = SimulatedFleet([camera], clock=lambda: END, stores=[shop])
    assert [instant for _, instant, _ in leaving(fleet, START, START + HOUR)] == [START]


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        write_tills(demo_fleet(lambda: END), START, END, tmp_path / name, tmp_path / "roster")
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
