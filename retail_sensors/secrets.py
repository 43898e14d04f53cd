"""Secrets: from a reference to the value that it points at.

A reference is `env:NAME`, a variable of the environment or a line of `.env` in the project root, or `file:PATH`, a file
that holds nothing else. The registry and fleet files hold references only; values are read when a camera is about to be
asked, are never stored, and appear in no error. Which camera needs which reference belongs to the registry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from dotenv import dotenv_values

from retail_sensors.errors import ConfigurationError
from retail_sensors.settings import project_root

ADVICE = "write env:NAME or file:PATH, and keep the password in that variable or file"
MAX_FILE_BYTES = 4096

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")


def check_reference(reference: str) -> str:
    """The same reference; ValueError, which does not repeat what was written, where it is not one."""
    if not _REFERENCE.fullmatch(reference):
        if reference.startswith("env:"):
            raise ValueError("env: must be followed by the name of a variable: letters, digits and _, no digit first")
        raise ValueError(f"must be a reference and not the password itself; {ADVICE}")
    return reference


class Secrets:
    """The values that references point at; `.env` is read once, files each time.

    `environ` is the environment (default: that of this process, before the lines of `.env`), `root` the folder that a
    relative `file:PATH` starts from (default: the project root).
    """

    def __init__(self, environ: Mapping[str, str] | None = None, root: Path | None = None) -> None:
        self._environ = environ
        self._root = root

    @cached_property
    def _variables(self) -> Mapping[str, str]:
        if self._environ is not None:
            return self._environ
        dotenv = self._folder / ".env"
        lines = dotenv_values(dotenv) if dotenv.is_file() else {}
        return {**{name: value for name, value in lines.items() if value is not None}, **os.environ}

    @cached_property
    def _folder(self) -> Path:
        return self._root or project_root()

    def resolve(self, reference: str) -> str:
        """The value behind one reference, without the line end that closes a file.

        Raises ConfigurationError with a sentence that names the variable or file and the remedy.
        """
        try:
            kind, _, target = check_reference(reference).partition(":")
        except ValueError as error:
            raise ConfigurationError(f"A password {error}.") from None
        return self._from_variable(target) if kind == "env" else self._from_file(target)

    def problem(self, reference: str) -> str | None:
        """Why the reference points at nothing at present, in a sentence; None: it resolves."""
        try:
            self.resolve(reference)
        except ConfigurationError as error:
            return str(error)
        return None

    def _from_variable(self, name: str) -> str:
        value = self._variables.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise ConfigurationError(f"The variable {name} is {state}; set it in the environment or in .env.")
        return value

    def _from_file(self, name: str) -> str:
        path = self._folder / Path(name).expanduser()
        try:
            # A pipe or device would be waited for without an end.
            if not path.is_file():
                state = "is not a file" if path.exists() else "does not exist"
                raise ConfigurationError(f"The password file {path} {state}; write the password into it.")
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigurationError(
                f"The password file {path} cannot be read ({error.strerror}); let this user read it."
            ) from None
        if len(content) > MAX_FILE_BYTES:
            raise ConfigurationError(
                f"The password file {path} is longer than {MAX_FILE_BYTES} bytes; it must hold the password alone."
            )
        try:
            value = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigurationError(f"The password file {path} is not UTF-8 text; save it as UTF-8.") from None
        if not value:
            raise ConfigurationError(f"The password file {path} is empty; write the password into it.")
        return value
