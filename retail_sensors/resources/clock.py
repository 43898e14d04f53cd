"""The clock as a resource, so that a test can stand at any instant."""

from datetime import UTC, datetime

import dagster as dg


class ClockResource(dg.ConfigurableResource):
    """The present instant."""

    def now(self) -> datetime:
        """The instant, zone-aware, in UTC."""
        return datetime.now(UTC)
