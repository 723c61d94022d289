"""What a real Pachyderm answered in over a hundred `pachctl` sessions, step by step, is what we answer."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path

import pytest
import yaml

from tests.conformance import replay
from tests.conformance.differences import IN_VAIN, ON_PURPOSE
from tests.support.ready_commands import ready_commands

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "scenarios").glob("*.yaml"))
# Sessions mostly wait, for each other's processes to start and for user code that sleeps.
AT_ONCE = 3 * (os.cpu_count() or 1)

Sessions = dict[str, "Future[list[dict[str, object]]]"]


@pytest.fixture(scope="module")
def sessions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    """All sessions this run asks for, played at once in homes of their own."""
    chosen = [name for name in NAMES if any(f"[{name}]" in item.nodeid for item in request.session.items)]
    # Not in threads: they would read the environment while pytest changes it.
    with (
        ready_commands(tmp_path_factory.mktemp("ready")) as command,
        ProcessPoolExecutor(AT_ONCE, get_context("spawn"), initializer=_end_with_the_run) as pool,
    ):
        yield {name: pool.submit(_play, name, command) for name in chosen}


def _end_with_the_run() -> None:
    """Have this process end when the one that runs the tests does, also if that is killed: nothing plays on."""
    run = parent_process()
    assert run is not None

    def wait() -> None:
        run.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _play(name: str, command: str) -> list[dict[str, object]]:
    text = (HERE / "scenarios" / f"{name}.yaml").read_text()
    scenario = yaml.safe_load(text.replace(*IN_VAIN.get(name, ("", ""))))
    observed: list[dict[str, object]] = replay.play(scenario, command, None)
    return observed


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_session_goes_as_on_a_cluster(name: str, sessions: Sessions) -> None:
    expected = json.loads((HERE / "recorded" / f"{name}.json").read_text())
    found = list(replay.differences(expected, sessions[name].result()))
    on_purpose = ON_PURPOSE.get(name, (frozenset(), ""))[0]
    surprising = [text for text in found if _step(text) not in on_purpose and _step(text) >= 0]
    assert not surprising, "\n".join(surprising)


def test_each_difference_on_purpose_has_its_row_in_the_table_of_deviations() -> None:
    table = (Path(replay.__file__).parents[2] / "docs" / "DEVIATIONS.md").read_text()
    for name, (_, row) in ON_PURPOSE.items():
        assert row in table, f"{name}: {row}"


def _step(text: str) -> int:
    """The step a difference is about; -1 for the line about standard error, which never stands alone."""
    found = re.match(r"step (\d+)", text)
    return int(found[1]) if found else -1
