"""What a reference to a secret resolves to, and what is said when it points at nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retail_sensors.errors import ConfigurationError
from retail_sensors.secrets import Secrets, check_reference


def test_a_variable_gives_its_value() -> None:
    assert Secrets({"DOOR_PASSWORD": " s3cret "}).resolve("env:DOOR_PASSWORD") == " s3cret "


def test_the_environment_wins_over_the_lines_of_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("RS_TEST_A=from the file\nRS_TEST_B=from the file too\n")
    monkeypatch.setenv("RS_TEST_A", "from the environment")
    monkeypatch.delenv("RS_TEST_B", raising=False)
    secrets = Secrets(root=tmp_path)
    assert secrets.resolve("env:RS_TEST_A") == "from the environment"
    assert secrets.resolve("env:RS_TEST_B") == "from the file too"


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n"])
def test_a_file_gives_its_content_without_the_closing_line_end(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "door").write_bytes(content)
    assert Secrets({}).resolve(f"file:{tmp_path / 'door'}") == "s3cret"
    assert Secrets({}, root=tmp_path).resolve("file:door") == "s3cret"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:DOOR_PASSWORD", "The variable DOOR_PASSWORD is not set; set it in the environment or in .env."),
        ("env:EMPTY", "The variable EMPTY is empty"),
        ("file:absent", "absent does not exist; write the password into it."),
        ("file:folder", "folder is not a file"),
        ("file:empty", "empty is empty"),
        ("file:long", "long is longer than 4096 bytes"),
        ("file:binary", "binary is not UTF-8 text"),
        ("file:pipe", "pipe is not a file"),
    ],
)
def test_a_reference_that_points_nowhere_says_where_and_what_to_do(tmp_path: Path, reference: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text("x" * 4097)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    secrets = Secrets({"EMPTY": ""}, root=tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        secrets.resolve(reference)
    assert said in str(refused.value)
    assert secrets.problem(reference) == str(refused.value)


@pytest.mark.parametrize("literal", ["hunter2", "", "env", "env:", "env:9LIVES", "env:A-B", "file:", "ENV:NAME"])
def test_a_literal_is_refused_without_being_repeated(literal: str) -> None:
    with pytest.raises(ValueError, match=r"reference|name of a variable") as refused:
        check_reference(literal)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        Secrets({}).resolve(literal)
