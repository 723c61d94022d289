"""The commands of the README and the tour, typed in a fresh copy of the project; what they print is what is shown."""

from __future__ import annotations

import re

import pytest

from tests.end_to_end.conftest import FirstRun
from tests.end_to_end.project import INSTALL, README, TOUR, ProjectCopy, compare, play, sessions

SECTIONS = ["The first five commands", "What the search does", "The first hour", "In pachctl's words"]


def test_the_first_line_runs_the_search_and_shows_the_winners(first_run: FirstRun) -> None:
    first, answer = sessions()["Run it"][0], first_run[1]
    assert answer.status == 0
    assert INSTALL.match(first.command)
    compare(first, answer)
    assert answer.rows() == {
        "split": (1, 0, 0, "success"),
        "model": (77, 0, 0, "success"),
        "test": (77, 0, 0, "success"),
        "select": (1, 0, 0, "success"),
    }


def test_the_second_line_runs_the_tests() -> None:
    """It is run by the CI, as it stands; here only that it is there."""
    lines = [line for line in README.splitlines() if INSTALL.match(line)]
    assert [INSTALL.sub("", line) for line in lines] == [".venv/bin/python -m pytest -q -n 2"]


@pytest.mark.parametrize("heading", SECTIONS)
def test_what_a_section_shows_is_what_comes(finished: ProjectCopy, heading: str) -> None:
    for answer in play(finished, heading):
        assert answer.status == 0, answer.text


def test_the_lines_for_a_cluster_are_commands_of_ours(finished: ProjectCopy) -> None:
    deploy, pull = re.findall(r"^\.venv/bin/python -m local_runner (?:deploy|pull) .*", TOUR, flags=re.M)
    printed = finished.bash(f"{deploy} --dry-run")
    assert printed.status == 0, printed.text
    assert "pachctl update pipeline" in printed.text
    refused = finished.bash(pull.replace("HOST:30650", "localhost:1"))
    assert refused.status == 5, refused.text


def test_every_session_is_played_by_some_test() -> None:
    assert {"Run it", *SECTIONS, "Before a change runs"} == set(sessions())
