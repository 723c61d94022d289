"""Any verbs, in any order: what people may do to a home with a small graph in it, drawn as data that a lab can play."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import BranchRef, CommitQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.runner import Runner
from tests.support.lab import Lab

Verb = tuple[Any, ...]  # its name, then what it is done to
Shape = tuple[str, Any, Any]

PROJECT = "default"
REPOS = st.sampled_from(["x", "y"])
PIPELINES = st.sampled_from("abcd")
BOTH = st.sampled_from("xxyabcd")
TYPES = st.sampled_from(["user"] * 6 + ["meta", "spec"])
BRANCHES = st.sampled_from(["master"] * 4 + ["dev"])
PATHS = st.sampled_from(["/1", "/2", "/d/3"])
CONTENTS = st.sampled_from(["one", "two", "three", "bad"])
FLAG = st.booleans()
PLACE = st.integers(0, 3)
BRANCH = st.tuples(BOTH, TYPES, BRANCHES)

KINDS = st.sampled_from(["single"] * 3 + ["cross", "cross", "union", "spout", "service"])
LEAVES = st.sampled_from(["pfs"] * 5 + ["cron", "trigger", "never"])


def shapes_over(names: str) -> st.SearchStrategy[Shape]:
    """What a pipeline is, and the two inputs it may have, of repos of these names."""
    leaf = st.tuples(LEAVES, st.sampled_from(names), BRANCHES)
    return st.tuples(KINDS, leaf, leaf)


SHAPE = shapes_over("xyabcd")
# Each over those before it: chains, diamonds, and what hangs on none of them.
GRAPH = st.tuples(*(shapes_over("xxy" + "abc"[:number] * 2) for number in range(4)))

FILES: st.SearchStrategy[Verb] = st.one_of(
    st.tuples(st.just("put"), BOTH, BRANCHES, PATHS, CONTENTS),
    st.tuples(st.just("put"), REPOS, st.just("master"), PATHS, CONTENTS),
    st.tuples(st.just("remove"), REPOS, BRANCHES, PATHS),
)
OF_PIPELINES: st.SearchStrategy[Verb] = st.one_of(
    st.tuples(st.just("update"), PIPELINES, SHAPE, FLAG),
    st.tuples(st.just("delete_pipeline"), PIPELINES, FLAG, FLAG),
    st.tuples(st.sampled_from(["stop_pipeline", "stop_pipeline", "start_pipeline", "rerun_pipeline", "run_cron"]), PIPELINES),
    st.tuples(st.sampled_from(["delete_job", "clear_commit"]), PIPELINES, PLACE),
)
WORK: st.SearchStrategy[Verb] = st.tuples(st.sampled_from(["work", "glance"]))
EVERYTHING: st.SearchStrategy[Verb] = st.tuples(st.just("delete_project"), FLAG) | st.tuples(st.just("delete_all"))
OF_COMMITS: st.SearchStrategy[Verb] = st.one_of(
    st.tuples(st.just("start_commit"), BRANCH),
    st.tuples(st.just("finish_commit"), BRANCH, FLAG),
    st.tuples(st.sampled_from(["squash_set", "drop_set"]), PLACE),
    st.tuples(st.sampled_from(["squash", "drop"]), BOTH, TYPES, PLACE, FLAG),
    st.tuples(st.just("stop_job"), PIPELINES, PLACE),
)
OF_REPOS: st.SearchStrategy[Verb] = st.one_of(
    st.tuples(st.just("create_repo"), BOTH, TYPES),
    st.tuples(st.just("delete_repo"), BOTH, TYPES, FLAG),
    st.tuples(st.just("create_branch"), BRANCH, st.none() | BRANCH, st.lists(BRANCH, max_size=2)),
    st.tuples(st.just("trigger"), BOTH, BRANCHES, BRANCHES),
    st.tuples(st.just("delete_branch"), BRANCH, FLAG),
)
JOINING = OF_COMMITS | OF_REPOS | st.tuples(st.just("create_pipeline"), PIPELINES, SHAPE)
TRANSACTION: st.SearchStrategy[Verb] = st.tuples(st.just("transaction"), st.lists(JOINING, min_size=2, max_size=4))
VERBS = st.one_of(FILES, FILES, OF_PIPELINES, OF_PIPELINES, WORK, JOINING, OF_COMMITS, OF_REPOS, TRANSACTION, EVERYTHING)


def sequences(longest: int) -> st.SearchStrategy[list[Verb]]:
    """What happens after `begin`."""
    return st.lists(VERBS, min_size=3, max_size=longest)


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
        self._runner.delete_pipeline(PipelineRef(PROJECT, name), force, keep)

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
        self._runner.delete_project(PROJECT, force)

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
        self._runner.delete_repo(_repo(name, type), force)

    def _start_commit(self, branch: Any) -> None:
        self._runner.start_commit(_branch(branch))

    def _finish_commit(self, branch: Any, force: bool) -> None:
        self._runner.finish_commit(_head(branch), force=force)

    def _create_branch(self, branch: Any, head: Any, sources: Sequence[Any]) -> None:
        self._runner.create_branch(_branch(branch), _head(head) if head else None, [_branch(source) for source in sources])

    def _trigger(self, repo: str, branch: str, watched: str) -> None:
        self._runner.create_branch(BranchRef(_repo(repo), branch), trigger=Trigger(branch=watched, commits=1))

    def _delete_branch(self, branch: Any, force: bool) -> None:
        self._runner.delete_branch(_branch(branch), force)

    def _squash_set(self, place: int) -> None:
        for commit in self._set(place):
            self._runner.squash_commit_set(commit)

    def _drop_set(self, place: int) -> None:
        for commit in self._set(place):
            self._runner.drop_commit_set(commit)

    def _squash(self, name: str, type: str, place: int, recursive: bool) -> None:
        for commit in self._commit(name, type, place):
            self._runner.squash_commit(commit, recursive)

    def _drop(self, name: str, type: str, place: int, recursive: bool) -> None:
        for commit in self._commit(name, type, place):
            self._runner.drop_commit(commit, recursive)

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
