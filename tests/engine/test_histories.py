"""Whatever happened before, the output is that of a run from scratch: path for path, content for content, tag for tag."""

import contextlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit
from local_runner.repos.check import check
from tests.support.histories import Event, begin, happen, histories
from tests.support.lab import Lab, copy


def fails_on_bad(datum: ScriptedDatum) -> int:
    copy(datum)
    return int(any("bad" in path.read_text() for path in datum.out.rglob("*") if path.is_file()))


def make(lab: Lab, name: str, update: bool, reprocess: bool) -> None:
    source, do = {"up": ("data:/*", fails_on_bad), "down": ("up:/*", copy)}[name]
    lab.pipeline(name, source, do, update=update, reprocess=reprocess, datum_tries=1)


@settings(max_examples=15)
@given(histories(longest=8))
def test_incremental_work_gives_what_work_from_scratch_gives(history: list[Event]) -> None:
    with TemporaryDirectory() as folder, contextlib.ExitStack() as labs:
        lab, fresh = (labs.enter_context(contextlib.closing(Lab(Path(folder) / name))) for name in ("lab", "fresh"))
        begin(lab, partial(make, lab))
        happen(lab, partial(make, lab), history)
        data = lab.files("data@master")
        good: dict[str, str | bytes | None] = {path: "3" if "bad" in content else content for path, content in data.items()}
        lab.put("data@master", {"/": None, **good})
        lab.run_all()
        fresh.put("data@master", good)
        for name in ("up", "down"):
            make(fresh, name, False, False)
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
