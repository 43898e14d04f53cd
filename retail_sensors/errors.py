"""The vocabulary of failures that reach a user.

Each error is one sentence that says what is wrong, where, and how to mend it. The command line prints the
sentence and ends with `exit_code`, without a traceback; Dagster shows it as the step's error.
What belongs elsewhere: the outcome of one question to one camera, which is data
(`retail_sensors.connectors.base.Outcome`), not an exception.
"""


class RetailSensorsError(Exception):
    """A failure that the user can mend; `str(error)` is the sentence to show."""

    exit_code = 1


class ConfigurationError(RetailSensorsError):
    """A file, an option or an environment variable says something that cannot be meant."""

    exit_code = 2


class DatabaseUnavailableError(RetailSensorsError):
    """Postgres did not answer."""

    exit_code = 3


class ContractError(RetailSensorsError):
    """Data breaks the contract of its table: a missing, extra or wrongly typed column, a NULL or doubled key."""


class StoppedError(RetailSensorsError):
    """The user pressed Ctrl-C; what was stored until then stays stored."""

    exit_code = 130
