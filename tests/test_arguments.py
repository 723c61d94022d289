"""The Python API names what is wrong with an argument, whatever is given, and does nothing."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.api.arguments import check_argument, checked
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef, RepoRef
from local_runner.runner import Runner
from tests.support.lab import Lab

GOOD: dict[str, Any] = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": "data", "glob": "/*"}}}
JUNK = st.sampled_from([True, 5, 1.5, None, "x", b"x", [], {}, [1], {"a": 1}, {1: 2}, object(), RepoRef(5, 6), PipelineRef("a", None)])  # type: ignore[arg-type]
# Those that need no argument, wait for ever, or take away what the others are tried on.
_METHODS = sorted(
    name
    for name, method in inspect.getmembers(Runner, inspect.isfunction)
    if not name.startswith("_") and name not in ("close", "wait_until", "change", "subscribe_commit", "subscribe_job", "follow_logs")
)


def paths(document: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in document.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


@pytest.mark.parametrize("path", list(paths(GOOD)), ids=".".join)
@given(value=JUNK | st.just("nothing"))
def test_a_bent_spec_is_taken_or_refused_in_words(lab: Lab, path: tuple[str, ...], value: object) -> None:
    lab.repo("data")
    document = copy.deepcopy(GOOD)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    if value == "nothing":
        del inner[path[-1]]
    for verb in (lab.runner.create_pipeline, lab.runner.list_datum_of):
        try:
            found = verb(
                document, **({"update": True, "project": "default"} if verb == lab.runner.create_pipeline else {"project": "default"})
            )
            list(found)
        except LocalRunnerError:
            pass


@pytest.mark.parametrize("name", _METHODS)
@settings(max_examples=15)
@given(data=st.data())
def test_an_argument_of_any_type_is_refused_in_words(lab: Lab, name: str, data: st.DataObject) -> None:
    method: Callable[..., Any] = getattr(lab.runner, name)
    needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    try:
        found = method(**{argument: data.draw(JUNK) for argument in needed})
        if inspect.isgenerator(found):
            next(found, None)
            found.close()
        elif hasattr(found, "__enter__"):
            with found:
                pass
    except LocalRunnerError:
        pass


def test_what_can_be_read_but_once_is_not_used_up_by_a_look() -> None:
    names = iter(["a"])
    check_argument("names", names, Iterable[str])
    assert list(names) == ["a"]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (lambda r: r.create_repo("data"), "repo: expected a RepoRef; got 'data'"),
        (lambda r: r.create_repo(RepoRef("default", 5)), "repo.name: expected a text; got 5"),
        (lambda r: r.create_branch(BranchRef(RepoRef("default", "x"), 3)), "branch.name: expected a text; got 3"),
        (lambda r: r.start_commit(BranchRef(RepoRef("default", "x"), "m"), description=b"x"), "description: expected a text"),
        (lambda r: r.list_pipeline("default"), "projects: expected a list, each a text or None; got 'default'"),
        (lambda r: r.list_pipeline([1]), r"projects\[0\]: expected a text; got 1"),
        (lambda r: r.list_job(history=True), "history: expected a whole number; got True"),
        (lambda r: r.inspect_commit(CommitQuery(RepoRef("default", "x"), id=7)), "commit.id: expected a text"),
        (lambda r: r.create_pipeline({"pipeline": True}, project="default"), "pipeline"),
        (lambda r: r.create_pipeline(GOOD), "create_pipeline: missing a required argument: 'project'"),
        (lambda r: r.create_secret({"metadata": True}), "metadata"),
        (lambda r: Runner.open("here"), "home: expected a Path or None; got 'here'"),
    ],
)
def test_what_is_wrong_is_named(lab: Lab, verb: Callable[[Runner], object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        verb(lab.runner)


def test_several_arguments_of_one_name_are_looked_at_one_by_one() -> None:
    @checked
    class Words:
        def joined(self, *arguments: str) -> str:
            return " ".join(arguments)

    assert Words().joined("a", "b") == "a b"
    with pytest.raises(Invalid, match=r"arguments\[1\]: expected a text; got 5"):
        Words().joined("a", 5)  # type: ignore[arg-type]
