"""Random histories: what people do to a repo and to two pipelines, one below the other, as data that any lab can play."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import parse_commit, parse_repo
from tests.support.lab import Lab

Event = tuple[str, object]
Make = Callable[[str, bool, bool], None]  # makes or updates the pipeline "up" or "down"; its flags say whether, and with reprocess

PATHS = st.sampled_from(["/a", "/b", "/c", "/d/x", "/d/y", "/e/x"])
CHANGED = st.dictionaries(PATHS, st.sampled_from(["1", "2", "bad", None]), min_size=1, max_size=4)  # None deletes
APPENDED = st.dictionaries(PATHS, st.sampled_from(["1", "2", "bad"]), min_size=1, max_size=2)
EVENTS = st.one_of(
    st.tuples(st.just("change"), CHANGED),
    st.tuples(st.just("change"), CHANGED),
    st.tuples(st.just("append"), APPENDED),
    st.tuples(st.just("work"), st.none()),
    st.tuples(st.sampled_from(["update", "reprocess"]), st.sampled_from(["up", "down"])),
    st.tuples(st.sampled_from(["squash", "drop"]), st.integers(0, 5)),
)


def histories(longest: int) -> st.SearchStrategy[list[Event]]:
    """What happens after `begin`: datums of files with "bad" in them are meant to fail."""
    return st.lists(EVENTS, max_size=longest)


def begin(lab: Lab, make: Make) -> None:
    """A file and both pipelines."""
    lab.put("data@master", {"/a": "1"})
    make("up", False, False)
    make("down", False, False)


def happen(lab: Lab, make: Make, history: Sequence[Event]) -> None:
    """One event after the other; commits that cannot be removed stay."""
    for verb, what in history:
        if isinstance(what, dict) and verb == "change":
            lab.put("data@master", what)
        elif isinstance(what, dict):
            with lab.runner.modify_file(parse_commit("data@master")) as change:
                for path, text in what.items():
                    change.put(path, text.encode(), append=True)
        elif isinstance(what, str):
            make(what, True, verb == "reprocess")
        elif isinstance(what, int):
            commits = [info.commit.id for info in lab.runner.list_commit(parse_repo("data"))]
            remove = lab.runner.squash_commit_set if verb == "squash" else lab.runner.drop_commit_set
            with contextlib.suppress(LocalRunnerError):
                remove(commits[min(what, len(commits) - 1)])
        else:
            lab.run_all()
