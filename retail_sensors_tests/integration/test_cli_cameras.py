"""`retail-sensors cameras ...` against a real Postgres and simulated cameras over real sockets."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from retail_sensors.cli.cameras import app
from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.fleet import demo_fleet, fleet_file, running

FLEET = """\
cameras:
  - {name: door, host: 192.0.2.10, timezone: Europe/Lisbon, username: admin, password: env:RS_TEST_DOOR, \
lines: {1: entrance, 4: passerby}}
  - {name: "[red]back", host: 192.0.2.10, port: 81, timezone: UTC}
"""


class Cli:
    """The commands, run as a user would on one installation."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *arguments: str | Path) -> Result:
        result = self.run(*arguments)
        if result.exception:
            raise result.exception
        return result

    def run(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, list(map(str, arguments)), env=self.environment)


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Cli:
    return Cli({"RETAIL_SENSORS_DATABASE_URL": database_url, "RETAIL_SENSORS_HOME": str(tmp_path / "home")})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


def test_add_says_what_it_added_changed_and_left(cli: Cli, file: Path) -> None:
    assert cli("add", file).stdout.splitlines() == [
        "Added 2 stores: door, [red]back",
        "Added 2 cameras: door, [red]back",
    ]
    file.write_text(FLEET.replace("4: passerby", "4: internal").replace("port: 81", "port: 82"))
    assert cli("add", file).stdout.splitlines() == [
        "Unchanged: 2 stores",
        "Changed 2 cameras: door (lines), [red]back (port)",
    ]
    assert cli("add", file).stdout.splitlines() == ["Unchanged: 2 stores", "Unchanged: 2 cameras"]


def test_add_warns_of_references_that_do_not_resolve_at_present(cli: Cli, file: Path) -> None:
    assert cli("add", file).stderr == (
        "Warning: env:RS_TEST_DOOR of door does not resolve at present. "
        "The variable RS_TEST_DOOR is not set; set it in the environment or in .env.\n"
    )
    cli.environment["RS_TEST_DOOR"] = "s3cret"
    assert cli("add", file).stderr == ""


def test_add_refuses_a_faulty_file_before_it_touches_the_database(tmp_path: Path, file: Path) -> None:
    file.write_text(FLEET.replace("Europe/Lisbon", "Europe/Lissabon"))
    nowhere = Cli(
        {"RETAIL_SENSORS_DATABASE_URL": "postgresql://192.0.2.1:1/none", "RETAIL_SENSORS_HOME": str(tmp_path)}
    )
    result = nowhere.run("add", file)
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == (
        f"{file}, line 2, cameras[0].timezone: 'Europe/Lissabon' is not an IANA zone; did you mean 'Europe/Lisbon'?"
    )


def test_list_shows_the_cameras_as_a_table(cli: Cli, file: Path) -> None:
    assert "No camera is registered" in cli("list").stdout
    cli("add", file)
    cli("disable", "[red]back")
    table = cli("list").stdout
    for shown in (
        "door",
        "[red]back",
        "Europe/Lisbon",
        "192.0.2.10:81",
        "4 passerby",
        "heatmap_temporal",
        "never",
        "not said",
    ):
        assert shown in table


def test_list_prints_json(cli: Cli, file: Path) -> None:
    cli("add", file)
    back, door = sorted(json.loads(cli("list", "--json").stdout), key=lambda camera: camera["port"], reverse=True)
    assert (back["name"], back["port"], back["store"]) == ("[red]back", 81, "[red]back")
    assert door["lines"] == {"1": "entrance", "4": "passerby"}
    assert (door["is_active"], door["last_seen_at"], door["clock_offset_seconds"]) == (True, None, None)
    assert "password" not in json.dumps(door)


def test_disable_and_enable_say_what_changed(cli: Cli, file: Path) -> None:
    cli("add", file)
    assert cli("disable", "door").stdout == "Disabled: door\n"
    assert cli("disable", "door", "[red]back").stdout == "Disabled: [red]back\nAlready disabled: door\n"
    assert cli("enable", "door").stdout == "Enabled: door\n"
    assert isinstance(cli.run("enable", "dor").exception, ConfigurationError)
    assert [camera["is_active"] for camera in json.loads(cli("list", "--json").stdout)] == [False, True]


def test_probe_records_what_each_camera_can_do(cli: Cli, tmp_path: Path) -> None:
    with running(demo_fleet(lambda: datetime(2026, 2, 2, 12, tzinfo=UTC))) as simulated:
        structure = fleet_file(simulated, password="env:RS_TEST_DOOR")
        structure["cameras"] = structure["cameras"][:2]
        reached, secretless = (camera["name"] for camera in structure["cameras"])
        structure["cameras"][1]["password"] = "env:RS_TEST_NOT_SET"
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            gone = {"name": "gone", "host": "127.0.0.1", "port": closed.getsockname()[1], "timezone": "UTC"}
            structure["cameras"].append(gone)
            path = tmp_path / "fleet.yaml"
            path.write_text(yaml.safe_dump(structure))
            cli.environment["RS_TEST_DOOR"] = simulated.cameras[reached].password
            cli("add", path)
            found = json.loads(cli("probe", "--json").stdout)
            table = cli("probe", reached, secretless, "gone").stdout
    assert found[reached]["people_counting"]["status"] == "supported"
    assert found[reached]["people_counting"]["http_status"] == 200
    assert {result["status"] for result in found["gone"].values()} == {"unreachable"}
    assert "The variable RS_TEST_NOT_SET is not set" in table
    assert "not asked" in table
    recorded = {camera["name"]: camera["capabilities"] for camera in json.loads(cli("list", "--json").stdout)}
    assert recorded == {reached: found[reached], secretless: None, "gone": found["gone"]}


def test_probe_of_nobody_says_so(cli: Cli) -> None:
    assert "No camera is enabled" in cli("probe").stdout
    result = cli.run("probe", "door")
    assert isinstance(result.exception, ConfigurationError)
    assert "'door'" in str(result.exception)
