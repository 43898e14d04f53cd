"""The pages say what the program does: commands exist, settings are listed, the tables' page is the contract's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

from retail_sensors import cli, schema_page
from retail_sensors.settings import Settings
from retail_sensors.tables import TABLES
from retail_sensors.tables.keys import references
from retail_sensors.tables_page import page

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_COMMAND = re.compile(r"(?:\.venv/bin/)?retail-sensors ((?:[a-z]+ ?)+(?:--?[a-z-]+[^`\n#]*)?)")


@pytest.fixture(scope="module")
def command_line() -> click.Group:
    if not cli.app.registered_commands:
        cli._assemble()
    group = typer.main.get_command(cli.app)
    assert hasattr(group, "commands")
    return group  # type: ignore[return-value]


def _leaves(group: click.Group, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= _leaves(command, (*prefix, name))  # type: ignore[arg-type]
            if command.invoke_without_command:  # type: ignore[attr-defined]
                found[(*prefix, name)] = command
        else:
            found[(*prefix, name)] = command
    return found


def test_each_command_that_a_page_shows_exists_with_its_options(command_line: click.Group) -> None:
    leaves = _leaves(command_line)
    shown = [(path.name, match.group(1)) for path in PAGES for match in _COMMAND.finditer(path.read_text())]
    assert len(shown) > 10
    for page_name, text in shown:
        words = shlex.split(text.strip())
        name = next((key for key in leaves if key == tuple(words[: len(key)])), None)
        assert name is not None, f"{page_name}: there is no command `retail-sensors {text.strip()}`"
        options = {"--help", *(option for parameter in leaves[name].params for option in parameter.opts)}
        passes_on = leaves[name].context_settings.get("ignore_unknown_options")
        for word in words[len(name) :]:
            if word.startswith("--") and not passes_on:
                assert word.split("=")[0] in options, f"{page_name}: {' '.join(name)} has no option {word}"


def test_each_command_is_described_on_a_page_and_in_its_help(command_line: click.Group) -> None:
    text = "\n".join(path.read_text() for path in PAGES)
    for name, command in _leaves(command_line).items():
        assert f"retail-sensors {' '.join(name)}" in text or f"`{' '.join(name)}`" in text, f"no page names {name}"
        assert command.help, f"{name} has no help"


def test_each_setting_is_described() -> None:
    listed = (ROOT / "docs" / "configuration.md").read_text()
    example = (ROOT / ".env.example").read_text()
    for name in Settings.model_fields:
        assert f"`RETAIL_SENSORS_{name.upper()}`" in listed
        assert f"RETAIL_SENSORS_{name.upper()}=" in example
    for name in re.findall(r"RETAIL_SENSORS_([A-Z_]+)=", example):
        assert name.lower() in Settings.model_fields


def test_the_tables_page_is_the_contracts() -> None:
    assert (ROOT / "docs" / "tables.md").read_text() == page(), (
        "docs/tables.md is not of this contract: python -m retail_sensors.tables_page > docs/tables.md"
    )


def test_the_picture_of_the_schema_is_the_contracts_and_shows_each_table_once() -> None:
    assert (ROOT / "docs" / "schema.md").read_text() == schema_page.page(), (
        "docs/schema.md is not of this contract: python -m retail_sensors.schema_page > docs/schema.md"
    )
    shown = [name for names in schema_page.GROUPS.values() for name in names]
    hanging = [name for name, table in TABLES.items() if references(table) or name == "organizations"]
    assert sorted(shown) == sorted(hanging), "each table that hangs on another belongs into one of GROUPS"


def test_links_between_pages_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90
