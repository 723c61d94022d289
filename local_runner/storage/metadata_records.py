"""Reads and writes the metadata of things: pairs of texts that people attach to them. They lie among the settings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from local_runner.storage.rows import reads

_NAME = "metadata of {} {}"
_KEYS = {"project": "OLD.name", "repo": "OLD.key", "branch": "OLD.key", "commits": "OLD.key"}  # what names a row of each table


class MetadataRecords:
    """By the table of a thing and what names it there: of a pipeline project and name, of the home nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, table: str, key: object = "") -> Mapping[str, str]:
        """All pairs of a thing."""
        found = self._db.execute("SELECT value FROM setting WHERE name = ?", (_NAME.format(table, key),)).fetchone()
        return _pairs(found) if found else {}

    def put(self, table: str, key: object, pairs: Mapping[str, str]) -> None:
        """Keep these pairs in place of what a thing has."""
        name = _NAME.format(table, key)
        if pairs:
            self._db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, json.dumps(dict(pairs))))
        else:
            self._db.execute("DELETE FROM setting WHERE name = ?", (name,))


def forget_with_rows(connection: sqlite3.Connection) -> None:
    """Have a connection forget the metadata of each thing it removes, also with a repo or project."""
    forget = "BEGIN DELETE FROM setting WHERE name = '{}' || {}; END"
    for table, key in _KEYS.items():
        body = forget.format(_NAME.format(table, ""), key)
        connection.execute(f"CREATE TEMP TRIGGER IF NOT EXISTS metadata_{table} AFTER DELETE ON main.{table} {body}")
    body = forget.format(_NAME.format("pipeline", ""), "OLD.project || '/' || OLD.name")
    # A pipeline has a row for each version.
    last = "WHEN NOT EXISTS (SELECT 1 FROM main.pipeline WHERE project = OLD.project AND name = OLD.name)"
    connection.execute(f"CREATE TEMP TRIGGER IF NOT EXISTS metadata_pipeline AFTER DELETE ON main.pipeline {last} {body}")


@reads("setting")
def _pairs(row: tuple[str]) -> Mapping[str, str]:
    pairs = json.loads(row[0])
    return {str(key): str(value) for key, value in pairs.items()}
