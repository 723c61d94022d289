"""Reads how long a home keeps logs and datum records: from the project file beside it, or from variables, which win."""

from __future__ import annotations

import os
from pathlib import Path

from local_runner.model.retention import Keep, parse_keep
from local_runner.storage.home import PROJECT_FILE

_VARIABLES = {"log_size": "LOCAL_RUNNER_LOG_SIZE", "logs": "LOCAL_RUNNER_KEEP_LOGS", "datums": "LOCAL_RUNNER_KEEP_DATUMS"}


def read_keep(home: Path) -> Keep:
    """What a home keeps. Raises `Invalid`."""
    said = {name: os.environ[variable] for name, variable in _VARIABLES.items() if os.environ.get(variable)}
    try:
        text = (home.parent / PROJECT_FILE).read_text()
        import tomllib  # 5 ms that commands without a project file need not wait for

        document = tomllib.loads(text)
    except (OSError, ValueError):  # who brings the project up to date says what is wrong with it
        document = {}
    table = document.get("keep", {})
    return parse_keep({**(table if isinstance(table, dict) else {}), **said})
