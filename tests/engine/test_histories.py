"""Whatever happened before, the output is that of a run from scratch: path for path, content for content, tag for tag."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit, parse_repo
from local_runner.repos.check import check
from tests.support.lab import Lab, copy

PATHS = st.sampled_from(["/a", "/b", "/c", "/d/x", "/d/y", "/e/x"])
CONTENTS = st.sampled_from(["1", "2", "bad", None])
CHANGE = st.tuples(st.just("change"), st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=4))
UPDATE = st.tuples(st.sampled_from(["update", "reprocess"]), st.sampled_from(["up", "down"]))
SQUASH = st.tuples(st.sampled_from(["squash", "drop"]), st.integers(0, 5))
WORK = st.tuples(st.just("work"), st.none())
HISTORIES = st.lists(CHANGE | CHANGE | WORK | UPDATE | SQUASH, max_size=8)


def fails_on_bad(datum: ScriptedDatum) -> int:
    copy(datum)
    return int(any(path.read_text() == "bad" for path in datum.out.rglob("*") if path.is_file()))


def pipelines(lab: Lab) -> None:
    lab.pipeline("up", "data:/*", fails_on_bad, datum_tries=1)
    lab.pipeline("down", "up:/*")


def happen(lab: Lab, verb: str, what: object) -> None:
    if verb == "change":
        assert isinstance(what, dict)
        lab.put("data@master", what)
    elif verb == "work":
        lab.run_all()
    elif verb in ("update", "reprocess"):
        do = fails_on_bad if what == "up" else copy
        source = {"up": "data:/*", "down": "up:/*"}[str(what)]
        lab.pipeline(str(what), source, do, update=True, reprocess=verb == "reprocess", datum_tries=1)
    else:
        assert isinstance(what, int)
        commits = [info.commit for info in lab.runner.list_commit(parse_repo("data"))]
        doomed = commits[min(what, len(commits) - 1)]
        remove = lab.runner.squash_commit_set if verb == "squash" else lab.runner.drop_commit_set
        with contextlib.suppress(LocalRunnerError):
            remove(doomed.id)


@settings(max_examples=12)
@given(HISTORIES)
def test_incremental_work_gives_what_work_from_scratch_gives(history: list[tuple[str, object]]) -> None:
    with TemporaryDirectory() as folder, contextlib.ExitStack() as labs:
        lab, fresh = (labs.enter_context(contextlib.closing(Lab(Path(folder) / name))) for name in ("lab", "fresh"))
        lab.put("data@master", {"/a": "1"})
        pipelines(lab)
        for verb, what in history:
            happen(lab, verb, what)
        data = lab.files("data@master")
        good: dict[str, str | bytes | None] = {path: "3" if content == "bad" else content for path, content in data.items()}
        lab.put("data@master", {"/": None, **good})
        lab.run_all()
        fresh.put("data@master", good)
        pipelines(fresh)
        fresh.run_all()
        for pipeline in ("up", "down"):
            assert lab.state(pipeline) is JobState.SUCCESS
            assert lab.files(f"{pipeline}@master") == fresh.files(f"{pipeline}@master") == good
            assert lab.tags(f"{pipeline}@master") == fresh.tags(f"{pipeline}@master")
            assert lab.datums(pipeline).keys() == fresh.datums(pipeline).keys()
            assert sum(lab.counts(pipeline).get(name, 0) for name in ("processed", "skipped")) == len(fresh.datums(pipeline))
        assert sorted(map(str, lab.runner.inspect_commit(parse_commit("down@master")).direct_provenance))
        with lab.runner.database.read() as session:
            assert check(session) == []
