"""How long rows are kept, and where they go.

What a policy does belongs in `storage.retention`; the files that rows go into are described by their own manifests, not here.
"""

from __future__ import annotations

from retail_sensors.tables.contract import Column, Kind, Table, updated_at

RETENTION_POLICIES = Table(
    name="retention_policies",
    row="How long the rows of one table are kept, and what becomes of them then; a table without a policy is kept.",
    key=("table_name",),
    columns=(
        Column("table_name", Kind.TEXT, "The table.", nullable=False),
        Column(
            "action",
            Kind.TEXT,
            "`archive`: older months go into compressed files that a command restores; `drop`: older rows are deleted; `keep`: "
            "nothing goes.",
            nullable=False,
        ),
        Column(
            "days_to_keep",
            Kind.INTEGER,
            "For how long a row is kept at least; months go as a whole, when their last day is so old. NULL: for ever.",
            unit="d",
        ),
        Column(
            "restored_until",
            Kind.TIMESTAMP,
            "Until then nothing goes: a month was restored to be read. NULL: none was.",
        ),
        Column("description", Kind.TEXT, "Why so, in a sentence.", nullable=False),
        updated_at(),
    ),
)

RETENTION_TABLES: tuple[Table, ...] = (RETENTION_POLICIES,)
