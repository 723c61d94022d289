"""The project of the working folder: which it is, and whether it has a pipeline of a name."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from local_runner.errors import LocalRunnerError
from local_runner.project.file import PROJECT_FILE, chosen_project

if TYPE_CHECKING:
    from local_runner.project.file import Project


def is_target(name: str) -> bool:
    """Whether the project here has a pipeline of this name."""
    from local_runner.specs.read import read_documents

    with contextlib.suppress(LocalRunnerError, OSError, UnicodeDecodeError):
        specs = ((path.read_text(), path) for path in chosen_project(Path.cwd()).specs)
        pipelines = (document.values.get("pipeline") for text, path in specs for document in read_documents(text, str(path)))
        return any(isinstance(pipeline, Mapping) and pipeline.get("name") == name for pipeline in pipelines)
    return False


def project_here(files: Sequence[Path] = ()) -> Project | None:
    """The project of the working directory, or what was named in its place; None where there is none. Raises `Invalid`."""
    here = Path.cwd()
    found = files or any((folder / PROJECT_FILE).is_file() for folder in (here, *here.parents))
    return chosen_project(here, files) if found else None
