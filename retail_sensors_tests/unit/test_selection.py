"""The words that choose cameras, on a fleet of five."""

from __future__ import annotations

import pandas as pd
import pytest

from retail_sensors.analytics.selection import COLUMNS, chosen
from retail_sensors.errors import ConfigurationError, ContractError

FLEET = pd.DataFrame(
    [
        ("lisbon-1", "Lisbon Chiado", "Example Retail", ["Doors"], ["entrance", "new"], "A", 0),
        ("lisbon-2", "Lisbon Chiado", "Example Retail", ["Doors", "Tills"], [], "A", 1),
        ("porto-1", "Porto", "Example Retail", [], ["new"], "B", 1),
        ("[red]back", "Porto", "Other", [], [], None, -1),
        ("store:Porto", "Faro", "Other", [], [], None, None),
    ],
    columns=list(COLUMNS),
)
ALL = FLEET["sensor_name"].tolist()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["porto-1"], ["porto-1"]),
        (["porto-1", "lisbon-1", "porto-1"], ["lisbon-1", "porto-1"]),
        (["lisbon-*"], ["lisbon-1", "lisbon-2"]),
        (["?????-1"], ["porto-1"]),
        (["[red]*"], ["[red]back"]),
        (["store:Lisbon*"], ["lisbon-1", "lisbon-2"]),
        (["org:Other"], ["[red]back", "store:Porto"]),
        (["group:Doors"], ["lisbon-1", "lisbon-2"]),
        (["tag:new", "group:Tills"], ["lisbon-1", "lisbon-2", "porto-1"]),
        (["building:A", "floor:-1"], ["lisbon-1", "lisbon-2", "[red]back"]),
        (["floor:1"], ["lisbon-2", "porto-1"]),
        (["not:lisbon-2", "group:*"], ["lisbon-1"]),
        (["group:*", "not:lisbon-2"], ["lisbon-1"]),
        (["not:org:Other"], ["lisbon-1", "lisbon-2", "porto-1"]),
        ([], ALL),
        (["*"], ALL),
    ],
)
def test_words_choose_cameras_in_the_order_of_the_frame(words: list[str], names: list[str]) -> None:
    assert chosen(FLEET, words) == names


def test_a_camera_whose_name_looks_like_a_word_can_be_named() -> None:
    assert chosen(FLEET, ["store:Porto"]) == ["store:Porto"]
    assert chosen(FLEET, ["store:Port?"]) == ["porto-1", "[red]back"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lisbon-11"], "as 'lisbon-11', did you mean 'lisbon-1'"),
        (["group:doors"], "as 'group:doors', did you mean 'group:Doors'"),
        (["gruop:Tills"], "as 'gruop:Tills', did you mean 'group:Tills'"),
        (["lisbon-1", "tag:mew", "zzz"], "as 'tag:mew', did you mean 'tag:new'?; nor as 'zzz' ("),
        (["lisbon-1", "not:floor:7"], "as 'not:floor:7'"),
        (["LISBON-*"], "as 'LISBON-*'"),
    ],
)
def test_a_word_that_means_no_camera_is_refused_with_the_near_miss(words: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        chosen(FLEET, words)
    assert str(refused.value).startswith("No camera is registered as")
    assert told in str(refused.value)


def test_words_that_take_every_camera_away_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="No camera remains of group:Doors not:store:Lisbon Chiado"):
        chosen(FLEET, ["group:Doors", "not:store:Lisbon Chiado"])


def test_no_camera_is_chosen_of_an_empty_fleet_and_none_of_half_a_frame() -> None:
    assert chosen(FLEET[:0], []) == []
    with pytest.raises(ConfigurationError, match="'porto-1'"):
        chosen(FLEET[:0], ["porto-1"])
    with pytest.raises(ContractError, match="no column groups, tags"):
        chosen(FLEET.drop(columns=["groups", "tags"]), ["porto-1"])
