"""What people do in a simulation: verbs, each with the question whether all of it is there, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import CommitQuery, PipelineRef, parse_branch, parse_commit, parse_repo
from local_runner.runner import Runner
from tests.reliability.simulation.model import AT_ONCE, BAD, GRAPH, HOUR, ROOTS, SOURCES, TICKS, Broken, Files, Model, read_head

PATHS = {"data": ("/a", "/b", "/c", "/d/x", "/d/y"), "extra": ("/m", "/n", "/k/z")}
_LARGE = b"large" * 14_000  # above what is kept as a row

Verb = Callable[[Runner], object]
Settle = Callable[[Runner, bool], None]


@dataclass
class Step:
    """Something that is done, in words and as a call; `settle` looks what became of it, and is told whether it was reported done."""

    words: str
    verb: Verb
    settle: Settle = lambda runner, is_done: None
    is_done: bool = False


@dataclass
class People:
    """Chooses what to do next by chance, of what is possible as far as people know."""

    model: Model
    random: Random
    pass_time: Callable[[float], None] = lambda seconds: None

    def choose(self) -> Step:
        """Something that is possible now."""
        there = [repo for repo in ROOTS if repo in self.model.heads]
        if not there or (len(there) < len(ROOTS) and self.random.random() < 0.5):
            return self._put(next(repo for repo in ROOTS if repo not in there))
        missing = [name for name in GRAPH if name not in self.model.pipelines and all(map(self._exists, SOURCES[name]))]
        present = list(self.model.pipelines)
        repo = self.random.choice(there)
        lots: list[tuple[int, Callable[[], Step]]] = [
            (8, lambda: self._put(repo)),
            (2, lambda: self._remove_commit(repo)),
            (1, lambda: self._start_commit(repo)),
            (1, lambda: self._finish_commit(repo)),
            (1, lambda: Step("gc", lambda runner: runner.gc())),
        ]
        if missing:
            lots.append((10, lambda: self._create(self.random.choice(missing))))
        if present:
            lots.append((4, lambda: self._about_pipeline(self.random.choice(present))))
        if "clock" in present:
            lots.append((2, self._let_time_pass))
        return self.random.choices([lot for _, lot in lots], [weight for weight, _ in lots])[0]()

    def finish_all(self) -> Iterator[Step]:
        """Finish what is open in the repos people write to, and start what they stopped."""
        yield from (self._finish_commit(repo) for repo in ROOTS if repo in self.model.heads)
        yield from (self._pipeline_verb("start", name) for name, stopped in self.model.pipelines.items() if stopped)

    def rerun(self, pipeline: str) -> Step:
        return self._pipeline_verb("rerun", pipeline)

    def _exists(self, source: str) -> bool:
        return source in self.model.heads or source in self.model.pipelines or source == TICKS

    def _let_time_pass(self) -> Step:
        hours = self.random.uniform(0.1, 5)
        return Step(f"{hours:.1f} hours pass", lambda runner: self.pass_time(hours * HOUR))

    # -- files and commits ---------------------------------------------------------------------------------------------

    def _put(self, repo: str) -> Step:
        change = {path: self._content(repo, path) for path in self.random.sample(PATHS[repo], self.random.randint(1, 3))}
        before = dict(self.model.head(repo))
        after = {path: content for path, content in {**before, **change}.items() if content is not None}

        def verb(runner: Runner) -> None:
            runner.create_repo(parse_repo(repo), update=True)
            with runner.modify_file(CommitQuery(parse_repo(repo), branch="master")) as handle:
                for path, content in change.items():
                    if content is None:
                        handle.delete(path)
                    else:
                        handle.put(path, content)

        words = f"put {repo} { {path: text and text[-7:] for path, text in change.items()} }"
        return Step(words, verb, lambda runner, is_done: self._settle_head(runner, repo, before, after, is_done))

    def _content(self, repo: str, path: str) -> bytes | None:
        lot = self.random.random()
        if lot < 0.15:
            return None
        if lot < 0.22 and repo == "data":
            return BAD
        # Other content under another name: the hash of a folder does not know names (reference pps 1.6), and its datum would be skipped.
        text = b"%s%d" % (path[-1:].encode(), self.random.randrange(5))
        return _LARGE + text if lot > 0.92 else text

    def _start_commit(self, repo: str) -> Step:
        files = dict(self.model.head(repo))
        return Step(
            f"start commit {repo}",
            lambda runner: runner.start_commit(parse_branch(f"{repo}@master")),
            lambda runner, is_done: self._settle_head(runner, repo, files, files, is_done),
        )

    def _finish_commit(self, repo: str) -> Step:
        def verb(runner: Runner) -> None:
            if runner.inspect_commit(parse_commit(f"{repo}@master")).finished is None:
                runner.finish_commit(parse_commit(f"{repo}@master"))

        def settle(runner: Runner, is_done: bool) -> None:
            if is_done and runner.inspect_commit(parse_commit(f"{repo}@master")).finished is None:
                raise Broken(f"the head of {repo} was reported finished, and is open")

        return Step(f"finish commit {repo}", verb, settle)

    def _remove_commit(self, repo: str) -> Step:
        name = self.random.choice([name for where, name in self.model.commits if where == repo])
        squash = self.random.random() < 0.5

        def verb(runner: Runner) -> None:
            self.model.excuse(runner)
            (runner.squash_commit_set if squash else runner.drop_commit_set)(name)

        return Step(
            f"{'squash' if squash else 'drop'} commit {name}",
            verb,
            lambda runner, is_done: self._settle_removal(runner, name, is_done),
        )

    def _settle_head(self, runner: Runner, repo: str, before: Files, after: Files, is_done: bool) -> None:
        """A change of files is there with all it says, or not at all."""
        found = read_head(runner, repo)
        if found is None:
            if is_done:
                raise Broken(f"a change of {repo} was reported, and there is no commit")
            return
        name, files = found
        is_new = (repo, name) not in self.model.commits
        if files != after and (is_done or is_new or files != before):
            raise Broken(f"{repo}@{name} has neither what was there before nor all of a change: {sorted(files)}")
        self.model.commits[repo, name] = files
        self.model.heads[repo] = name

    def _settle_removal(self, runner: Runner, name: str, is_done: bool) -> None:
        """A commit set is gone from everywhere, or from nowhere; what stood on it is as it was."""
        there = {where for where in ROOTS if where in self.model.heads and name in _listed(runner, where)}
        were = {where for where, other in self.model.commits if other == name}
        if there and (is_done or there != were):
            raise Broken(f"commit set {name} is gone in {sorted(were - there)}, and there in {sorted(there)}")
        if there:
            return
        self.model.forget_set(name)
        for repo in were:
            del self.model.commits[repo, name]
            head = read_head(runner, repo)
            if head is None:
                raise Broken(f"{repo} has no head any more")
            if (repo, head[0]) not in self.model.commits:
                if head[1]:
                    raise Broken(f"the new head of {repo} is not empty")
                self.model.commits[repo, head[0]] = {}
            self.model.heads[repo] = head[0]

    # -- pipelines -----------------------------------------------------------------------------------------------------

    def _create(self, name: str) -> Step:
        return self._pipeline_verb("create", name)

    def _about_pipeline(self, name: str) -> Step:
        return self._pipeline_verb(self.random.choice(("update", "reprocess", "rerun", "stop", "start", "delete", "stop job of")), name)

    def _pipeline_verb(self, chosen: str, name: str) -> Step:
        ref = PipelineRef("default", name)
        verbs: dict[str, Verb] = {
            "create": lambda runner: runner.create_pipeline(_spec(name), project="default"),
            "update": lambda runner: runner.create_pipeline(_spec(name), project="default", update=True),
            "reprocess": lambda runner: runner.create_pipeline(_spec(name), project="default", update=True, reprocess=True),
            "rerun": lambda runner: runner.rerun_pipeline(ref),
            "stop": lambda runner: runner.stop_pipeline(ref),
            "start": lambda runner: runner.start_pipeline(ref),
            "delete": lambda runner: runner.delete_pipeline(ref),
            "stop job of": lambda runner: self._stop_job(runner, ref),
        }
        wanted = {"create": False, "delete": None, "stop": True, "start": False}

        def verb(runner: Runner) -> None:
            if chosen in ("stop", "delete", "stop job of"):
                self.model.excuse(runner)
            verbs[chosen](runner)

        def settle(runner: Runner, is_done: bool) -> None:
            found = {info.pipeline.name: info.stopped for info in runner.list_pipeline()}
            if is_done and chosen in wanted and found.get(name) != wanted[chosen]:
                raise Broken(f"{chosen} {name} was reported done, and it is {found.get(name, 'gone')}")
            lost = self.model.pipelines.keys() - found.keys() - {name}
            if lost:
                raise Broken(f"pipelines {sorted(lost)} are gone")
            self.model.see_pipelines(runner)

        return Step(f"{chosen} {name}", verb, settle)

    def _stop_job(self, runner: Runner, pipeline: PipelineRef) -> None:
        for info in runner.list_job(pipeline=pipeline):
            if not info.state.is_final:
                runner.stop_job(info.job)


def _listed(runner: Runner, repo: str) -> set[str]:
    try:
        return {info.commit.id for info in runner.list_commit(parse_repo(repo))}
    except LocalRunnerError:
        return set()


def _spec(name: str) -> dict[str, object]:
    at_once = {"parallelism_spec": {"constant": AT_ONCE[name]}} if name in AT_ONCE else {}
    return {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": GRAPH[name], "datum_tries": 1, **at_once}
