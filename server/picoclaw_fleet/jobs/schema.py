"""The ledger's tables, and how older ones become these."""

from __future__ import annotations

import sqlite3

MIGRATIONS = (
    """
    CREATE TABLE choices (digest TEXT PRIMARY KEY, hosts TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL UNIQUE,
        batch_id TEXT NOT NULL,
        owner TEXT NOT NULL,
        origin TEXT NOT NULL,
        holder TEXT NOT NULL,
        task TEXT NOT NULL,
        choice TEXT NOT NULL,
        timeout_seconds INTEGER NOT NULL,
        host TEXT NOT NULL,
        address TEXT NOT NULL,
        sent INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        message TEXT NOT NULL,
        next_step TEXT NOT NULL,
        created_at TEXT NOT NULL,
        started_at TEXT,
        finished_at TEXT,
        duration_seconds REAL,
        exit_code INTEGER,
        signal TEXT NOT NULL,
        files TEXT NOT NULL,
        notes TEXT NOT NULL,
        stop_wanted INTEGER NOT NULL,
        told INTEGER NOT NULL,
        on_host INTEGER NOT NULL,
        output_bytes INTEGER NOT NULL
    );
    CREATE INDEX jobs_by_batch ON jobs (batch_id) WHERE batch_id != '';
    CREATE INDEX jobs_unfinished ON jobs (state) WHERE finished_at IS NULL;
    CREATE INDEX jobs_untold ON jobs (told) WHERE told = 0 AND finished_at IS NOT NULL;
    CREATE INDEX jobs_on_host ON jobs (host) WHERE on_host = 1;
    """,
)
"""Each one brings a ledger from the version before to its own; the version is PRAGMA user_version."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings a ledger to the newest version.

    Raises:
        ValueError: It was written by a newer program.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Another process may have been quicker.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise ValueError(f"it has version {version}, this program knows up to {len(MIGRATIONS)}")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
