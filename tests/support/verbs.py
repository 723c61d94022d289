"""Any verbs, in any order: what people may do to a home with a small graph in it, drawn as data that a lab can play."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import BranchRef, CommitQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.runner import Runner
from tests.support.lab import Lab

Verb = tuple[Any, ...]  # its name, then what it is done to
Shape = tuple[str, Any, Any]

PROJECT = "default"
Draw = Callable[[random.Random], Any]


def one_of(*values: object) -> Draw:
    """Any of these values; what comes twice comes twice as often."""
    return lambda chance: chance.choice(values)


def tuple_of(*draws: object) -> Draw:
    """A tuple; what is no draw stands for itself."""
    return lambda chance: tuple(draw(chance) if callable(draw) else draw for draw in draws)


def any_of(*draws: Draw) -> Draw:
    """What any of these draws."""
    return lambda chance: chance.choice(draws)(chance)


def list_of(draw: Draw, least: int, most: int) -> Draw:
    return lambda chance: [draw(chance) for _ in range(chance.randint(least, most))]


REPOS, PIPELINES, BOTH = one_of(*"xy"), one_of(*"abcd"), one_of(*"xxyabcd")
TYPES = one_of(*["user"] * 6, "meta", "spec")
BRANCHES = one_of(*["master"] * 4, "dev")
PATHS, CONTENTS = one_of("/1", "/2", "/d/3"), one_of("one", "two", "three", "bad")
FLAG, PLACE = one_of(True, False), one_of(0, 1, 2, 3)
BRANCH = tuple_of(BOTH, TYPES, BRANCHES)
KINDS = one_of(*["single"] * 3, "cross", "cross", "union", "spout", "service")
LEAVES = one_of(*["pfs"] * 5, "cron", "trigger", "never")


def shape_over(names: str) -> Draw:
    """What a pipeline is, and the two inputs it may have, of repos of these names."""
    leaf = tuple_of(LEAVES, one_of(*names), BRANCHES)
    return tuple_of(KINDS, leaf, leaf)


SHAPE = shape_over("xyabcd")
# Each over those before it: chains, diamonds, and what hangs on none of them.
GRAPH = tuple_of(*(shape_over("xxy" + "abc"[:number] * 2) for number in range(4)))

FILES = any_of(
    tuple_of("put", BOTH, BRANCHES, PATHS, CONTENTS),
    tuple_of("put", REPOS, "master", PATHS, CONTENTS),
    tuple_of("remove", REPOS, BRANCHES, PATHS),
)
OF_PIPELINES = any_of(
    tuple_of("update", PIPELINES, SHAPE, FLAG),
    tuple_of("delete_pipeline", PIPELINES, FLAG, FLAG),
    tuple_of(one_of("stop_pipeline", "stop_pipeline", "start_pipeline", "rerun_pipeline", "run_cron"), PIPELINES),
    tuple_of(one_of("delete_job", "clear_commit"), PIPELINES, PLACE),
)
WORK = tuple_of(one_of("work", "glance"))
EVERYTHING = any_of(tuple_of("delete_project", FLAG), tuple_of("delete_all"))
OF_COMMITS = any_of(
    tuple_of("start_commit", BRANCH),
    tuple_of("finish_commit", BRANCH, FLAG),
    tuple_of(one_of("squash_set", "drop_set"), PLACE),
    tuple_of(one_of("squash", "drop"), BOTH, TYPES, PLACE, FLAG),
    tuple_of("stop_job", PIPELINES, PLACE),
)
OF_REPOS = any_of(
    tuple_of("create_repo", BOTH, TYPES),
    tuple_of("delete_repo", BOTH, TYPES, FLAG),
    tuple_of("create_branch", BRANCH, any_of(one_of(None), BRANCH), list_of(BRANCH, 0, 2)),
    tuple_of("trigger", BOTH, BRANCHES, BRANCHES),
    tuple_of("delete_branch", BRANCH, FLAG),
)
JOINING = any_of(OF_COMMITS, OF_REPOS, tuple_of("create_pipeline", PIPELINES, SHAPE))
TRANSACTION = tuple_of("transaction", list_of(JOINING, 2, 4))
VERB = any_of(*[FILES] * 6, *[OF_PIPELINES] * 6, *[WORK] * 3, *[OF_COMMITS] * 4, *[OF_REPOS] * 4, *[TRANSACTION] * 3, EVERYTHING)


@dataclass(frozen=True, slots=True)
class History:
    """Pipelines `a` to `d`, and what happens then."""

    graph: tuple[Shape, ...]
    verbs: list[Verb]

    @classmethod
    def of(cls, seed: object, longest: int) -> History:
        """The one of a seed."""
        chance = random.Random(repr(seed))
        return cls(GRAPH(chance), list_of(VERB, 3, longest)(chance))

    def shorter(self) -> Iterator[History]:
        """Itself without one of its verbs."""
        for at in range(len(self.verbs)):
            yield replace(self, verbs=self.verbs[:at] + self.verbs[at + 1 :])


def begin(lab: Lab, graph: Sequence[Shape]) -> None:
    """Two repos with a file each, and pipelines `a`, `b`… of these shapes, as far as that can be."""
    world = World(lab)
    for repo in "xy":
        lab.put(f"{repo}@master", {"/1": repo})
    world.play([("create_pipeline", name, shape) for name, shape in zip("abcd", graph, strict=True)])
    world.close()


def named_by_its_inputs(datum: ScriptedDatum) -> int:
    """One file for each datum, under a name no other has, with the contents of all it sees; fails over the word "bad"."""
    names = sorted(name for name in datum.tree.links if name not in ("out", ".env"))
    files = sorted(file for name in names for file in datum.input(name).rglob("*") if file.is_file())
    text = " ".join(file.read_text() for file in files)
    paths = (f"{name}{datum.env.get(name, '').removeprefix(f'/pfs/{name}')}" for name in names)
    (datum.out / "-".join(paths).replace("/", "_")).write_text(text)
    return int("bad" in text)


class World:
    """Plays verbs. What a verb refuses in words is left undone; any other exception is a fault."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.joined = Runner.open(lab.runner.home, background=False, transactional=True)
        self._runner = lab.runner

    def close(self) -> None:
        self.joined.close()

    def play(self, verbs: Sequence[Verb]) -> None:
        for name, *what in verbs:
            with contextlib.suppress(LocalRunnerError):
                getattr(self, f"_{name}")(*what)

    # -- alone ---------------------------------------------------------------------------------------------------------

    def _put(self, repo: str, branch: str, path: str, content: str) -> None:
        with self._runner.modify_file(CommitQuery(_repo(repo), branch)) as change:
            change.put(path, content.encode())

    def _remove(self, repo: str, branch: str, path: str) -> None:
        with self._runner.modify_file(CommitQuery(_repo(repo), branch)) as change:
            change.delete(path)

    def _update(self, name: str, shape: Shape, reprocess: bool) -> None:
        self._runner.create_pipeline(spec(name, shape), project=PROJECT, update=True, reprocess=reprocess)

    def _delete_pipeline(self, name: str, force: bool, keep: bool) -> None:
        self._runner.delete_pipeline(PipelineRef(PROJECT, name), force=force, keep_repo=keep)

    def _stop_pipeline(self, name: str) -> None:
        self._runner.stop_pipeline(PipelineRef(PROJECT, name))

    def _start_pipeline(self, name: str) -> None:
        self._runner.start_pipeline(PipelineRef(PROJECT, name))

    def _rerun_pipeline(self, name: str) -> None:
        self._runner.rerun_pipeline(PipelineRef(PROJECT, name))

    def _run_cron(self, name: str) -> None:
        self._runner.run_cron(PipelineRef(PROJECT, name))

    def _delete_job(self, name: str, place: int) -> None:
        for job in self._job(name, place):
            self._runner.delete_job(job)

    def _clear_commit(self, name: str, place: int) -> None:
        for job in self._job(name, place):
            self._runner.clear_commit(CommitQuery(_repo(name), id=job.id))

    def _delete_project(self, force: bool) -> None:
        self._runner.delete_project(PROJECT, force=force)

    def _delete_all(self) -> None:
        self._runner.delete_all()

    def _work(self) -> None:
        self.lab.run_all()

    def _glance(self) -> None:
        """An engine that is ended after its first datum."""
        self.lab.run_all(until=lambda: bool(self.lab.ran))

    # -- in transactions too -------------------------------------------------------------------------------------------

    def _transaction(self, verbs: Sequence[Verb]) -> None:
        self.joined.start_transaction()
        self._runner = self.joined
        try:
            self.play(verbs)
            self.joined.finish_transaction()
        finally:
            self._runner = self.lab.runner
            if self.joined.active_transaction():
                self.joined.delete_transaction()

    def _create_repo(self, name: str, type: str) -> None:
        self._runner.create_repo(_repo(name, type))

    def _delete_repo(self, name: str, type: str, force: bool) -> None:
        self._runner.delete_repo(_repo(name, type), force=force)

    def _start_commit(self, branch: Any) -> None:
        self._runner.start_commit(_branch(branch))

    def _finish_commit(self, branch: Any, force: bool) -> None:
        self._runner.finish_commit(_head(branch), force=force)

    def _create_branch(self, branch: Any, head: Any, sources: Sequence[Any]) -> None:
        self._runner.create_branch(_branch(branch), _head(head) if head else None, [_branch(source) for source in sources])

    def _trigger(self, repo: str, branch: str, watched: str) -> None:
        self._runner.create_branch(BranchRef(_repo(repo), branch), trigger=Trigger(branch=watched, commits=1))

    def _delete_branch(self, branch: Any, force: bool) -> None:
        self._runner.delete_branch(_branch(branch), force=force)

    def _squash_set(self, place: int) -> None:
        for commit in self._set(place):
            self._runner.squash_commit_set(commit)

    def _drop_set(self, place: int) -> None:
        for commit in self._set(place):
            self._runner.drop_commit_set(commit)

    def _squash(self, name: str, type: str, place: int, recursive: bool) -> None:
        for commit in self._commit(name, type, place):
            self._runner.squash_commit(commit, recursive=recursive)

    def _drop(self, name: str, type: str, place: int, recursive: bool) -> None:
        for commit in self._commit(name, type, place):
            self._runner.drop_commit(commit, recursive=recursive)

    def _stop_job(self, name: str, place: int) -> None:
        for job in self._job(name, place):
            self._runner.stop_job(job)

    def _create_pipeline(self, name: str, shape: Shape) -> None:
        self._runner.create_pipeline(spec(name, shape), project=PROJECT)

    # -- what there is -------------------------------------------------------------------------------------------------

    def _set(self, place: int) -> Iterator[str]:
        """A commit set by its place, as ids are different in each run; none if there are not so many."""
        sets = [info.id for info in self._runner.list_commit_set()]
        yield from sets[place : place + 1]

    def _commit(self, name: str, type: str, place: int) -> Iterator[CommitQuery]:
        found = [info.commit for info in self._runner.list_commit(_repo(name, type))]
        yield from (CommitQuery(ref.repo, id=ref.id) for ref in found[place : place + 1])

    def _job(self, name: str, place: int) -> Iterator[JobRef]:
        yield from [info.job for info in self.lab.jobs(name)][place : place + 1]


def _repo(name: str, type: str = "user") -> RepoRef:
    return RepoRef(PROJECT, name, type)


def _branch(drawn: tuple[str, str, str]) -> BranchRef:
    return BranchRef(_repo(drawn[0], drawn[1]), drawn[2])


def _head(drawn: tuple[str, str, str]) -> CommitQuery:
    return CommitQuery(_repo(drawn[0], drawn[1]), drawn[2])


def spec(name: str, shape: Shape) -> dict[str, Any]:
    """A pipeline's document; of inputs that cannot be, the verb says so."""
    kind, *drawn = shape
    document: dict[str, Any] = {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "datumTries": 1}
    first, *others = [_leaf(number, *leaf) for number, leaf in enumerate(drawn)]
    if kind == "spout":
        return document | {"spout": {}}
    if kind in ("cross", "union"):
        return document | {"input": {kind: [first, *others]}}
    return document | {"input": first} | ({"service": {"internalPort": 1, "externalPort": 2}} if kind == "service" else {})


def _leaf(number: int, kind: str, repo: str, branch: str) -> dict[str, Any]:
    name = f"in{number}"
    if kind == "cron":
        return {"cron": {"name": name, "spec": "@never"}}
    pfs: dict[str, Any] = {"name": name, "repo": repo, "branch": branch, "glob": "/*"}
    if kind == "trigger":
        del pfs["branch"]
        pfs["trigger"] = {"branch": branch, "commits": 1}
    if kind == "never":
        pfs["propagationSpec"] = {"never": True}
    return {"pfs": pfs}


def close_what_people_left_open(lab: Lab) -> bool:
    """Finish the commits that wait for somebody to do so; returns whether there was one."""
    found = False
    for repo in lab.runner.list_repo(type=""):
        for info in list(lab.runner.list_commit(repo.repo)):
            if info.finishing is None:
                with contextlib.suppress(LocalRunnerError):
                    lab.runner.finish_commit(CommitQuery(info.commit.repo, id=info.commit.id))
                    found = True
    return found


def work_to_the_end(lab: Lab) -> None:
    """Work, and close what a job may wait for, until nothing changes."""
    lab.run_all()
    while close_what_people_left_open(lab):
        lab.run_all()


def home_below(folder: str | Path, name: str) -> Lab:
    """A lab of which every pipeline does `named_by_its_inputs`."""
    lab = Lab(Path(folder) / name)
    for pipeline in "abcd":
        lab.does(pipeline, named_by_its_inputs)
    return lab
