"""A study: one search over one home, asked and told point by point, or run to its end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_runner.errors import Invalid, NotFound, Refused
from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.model.space import Point, Space
from local_runner.project.file import Project, chosen_project
from local_runner.project.search import SearchSettings, find_settings
from local_runner.search.ledger import MASTER, Ledger
from local_runner.search.points import name_of
from local_runner.search.samplers.base import Sampler
from local_runner.search.samplers.table import make_sampler
from local_runner.search.trials import DONE, WAITING, Failure, Trial

if TYPE_CHECKING:
    from local_runner.runner import Runner
    from local_runner.search.checks import Remark
    from local_runner.search.results import Results

_PATIENCE = 50  # points that are known already, until one is taken that nobody has asked for


class Study:
    """A search with its sampler, which is told all that the store knows. Make one with `Runner.search` or `open_study`.

    It reads the store when it is made, and with `refresh`.
    """

    def __init__(self, runner: Runner, settings: SearchSettings, project: Project) -> None:
        self.runner, self.settings, self.project = runner, settings, project
        self.ledger = Ledger(runner, settings)
        self._sampler: Sampler | None = None
        self._told: dict[str, float | None] = {}
        self._lies_inside: dict[str, bool] = {}
        self.refresh()

    # -- what is known -------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what the store holds now, and tell the sampler what is new."""
        self.ledger.read()
        if self._sampler is not None:
            self._tell_new(self._sampler)

    def trials(self) -> list[Trial]:
        """All points that were ever asked for with these folds, whoever asked, in the order in which they were met."""
        return self.ledger.trials()

    def results(self) -> Results:
        """What is known now of the points of the space, as a table with the best first."""
        from local_runner.search.results import read_results

        self.refresh()
        return read_results(self.runner, self.ledger, self.counted())

    def counted(self) -> list[Trial]:
        """The trials of points that lie in the space: those that the number of trials is about."""
        return [self.ledger.trial(name) for name in self._inside()]

    def count(self) -> int:
        """How many points of the space were asked for."""
        return len(self._inside())

    def _inside(self) -> list[str]:
        """The names of the points that lie in the space."""
        space = self.settings.space
        for name, point in self.ledger.points.items():
            if name not in self._lies_inside:
                self._lies_inside[name] = space is None or space.contains(point)
        return [name for name in self.ledger.names() if self._lies_inside[name]]

    # -- ask and tell --------------------------------------------------------------------------------------------------

    def ask(self, count: int = 1) -> list[Trial]:
        """Ask the sampler for points that nobody tried yet, and put them into their repo as one commit; fewer if the space has no more.

        Their jobs begin at once if the runner has an engine in the background. `tell` takes the results in.
        """
        points = self.choose(count)
        if points:
            self.ledger.ask(points)
        return [self.ledger.trial(name) for name in points]

    def tell(self, trial: Trial | str, score: float | None = None, *, failed: str = "") -> Trial:
        """Take in the result of a point, given by name or as it was asked for: wait until the pipelines have scored it.

        With `score` or `failed` the result is this, and is written into the store in place of what pipelines say of the point.
        Raises `NotFound` for a point nobody asked for, `Invalid` for a score that is no number, `Refused` if the jobs ended without one.
        """
        name = trial if isinstance(trial, str) else trial.name
        self.ledger.trial(name)
        if score is not None or failed:
            if score is not None and not -float("inf") < score < float("inf"):
                raise Invalid(f"{name}: {score} is no score: it compares with nothing")
            self.ledger.tell({name: Failure(failed) if failed or score is None else float(score)})
        else:
            self._wait_for(name)
        self.refresh()
        return self.ledger.trial(name)

    def _wait_for(self, name: str) -> None:
        from local_runner.search.loop import settle
        from local_runner.search.route import find_route

        route = find_route(self.runner, self.settings)
        pipelines = [info.pipeline for info in route]
        self.runner.wait_until(lambda session: None if self.runner.has_work(services=False, only=pipelines) else True)
        self.refresh()
        if self.ledger.trial(name).state == WAITING:
            jobs = [next(iter(self.runner.list_job(pipeline=pipeline))) for pipeline in pipelines]
            failures = settle(self.runner, jobs, [name], self.settings)
            if name not in failures:
                raise Refused(f"the jobs of {name} ended without a score", hint="`search` runs them again")
            self.ledger.tell(failures)

    def choose(self, count: int) -> dict[str, Point]:
        """The next points that nobody has tried, by name, without asking for them; fewer if there are no more."""
        sampler = self.sampler
        found: dict[str, Point] = {}
        known = self.ledger.points
        vain = 0
        while len(found) < count:
            point = sampler.ask() if vain < _PATIENCE else self._untried(known.keys() | found.keys())
            if point is None:
                break
            name = name_of(point)
            if name in known or name in found:
                vain += 1
                if name in self._told:
                    sampler.tell(point, self._told[name])
                continue
            vain = 0
            sampler.expect(point)
            found[name] = point
        return found

    def _untried(self, known: Iterable[str]) -> Point | None:
        """A point of a finite space that nobody has asked for."""
        names = set(known)
        return next((point for point in self.space.grid() if name_of(point) not in names), None) if self.space.is_finite else None

    # -- the sampler ---------------------------------------------------------------------------------------------------

    @property
    def space(self) -> Space:
        """Raises `Refused` for a search whose points the pipelines make."""
        if self.settings.space is None:
            raise Refused(
                f"search {self.settings.name} has no points to ask for: its pipelines make them",
                hint="run the project, then `search results`",
            )
        return self.settings.space

    @property
    def sampler(self) -> Sampler:
        """Made when it is first needed, and told all points of the space, whoever asked for them."""
        if self._sampler is None:
            self._sampler = make_sampler(self.settings.sampler, self.space, self.settings.seed)
            self._tell_new(self._sampler)
        return self._sampler

    def _tell_new(self, sampler: Sampler) -> None:
        for name in self._inside():
            if name in self._told:
                continue
            trial = self.ledger.trial(name)
            if trial.state == WAITING:
                sampler.expect(trial.point)
            else:
                self._tell_sampler(sampler, trial)

    def _tell_sampler(self, sampler: Sampler, trial: Trial) -> None:
        score = None if trial.state != DONE else trial.score if self.settings.maximize else -trial.score
        self._told[trial.name] = score
        sampler.tell(trial.point, score)

    def tell_early(self, trial: Trial) -> None:
        """Tell the sampler the result of a point whose job is not over."""
        if trial.name not in self._told and self._lies_inside.get(trial.name):
            self._tell_sampler(self.sampler, trial)

    # -- run -----------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the repos that the search itself writes, and say how the data are to be cut into folds."""
        settings = self.settings
        if settings.points:
            self.runner.create_repo(self.ledger.repo(settings.points), update=True)
        if settings.folds:
            repo = self.ledger.repo(settings.folds.repo)
            self.runner.create_repo(repo, update=True)
            content = f"{json.dumps({'k': settings.folds.k, 'seed': settings.folds.seed})}\n".encode()
            query, path = CommitQuery(repo, MASTER), f"/{settings.folds.name}.json"
            if self._content(FileQuery(query, path)) != content:
                with self.runner.modify_file(query) as change:
                    change.put(path, content)

    def _content(self, file: FileQuery) -> bytes | None:
        try:
            return b"".join(self.runner.get_file(file))
        except NotFound:
            return None

    def run(self, trials: int = 0, **options: Any) -> Results:
        """Bring the pipelines up to date and search until so many points of the space are tried (0: as the settings say).

        Options are those of `loop.run_study`. Points that fail are results. Raises what `run_study` raises.
        """
        from local_runner.search.loop import run_study

        run_study(self, trials, **options)
        return self.results()

    def check(self) -> list[Remark]:
        """What puts the results in doubt, and what does not."""
        from local_runner.search.checks import check_study

        return check_study(self.runner, self.ledger, self.results())

    def _repr_html_(self) -> str:
        return self.results()._repr_html_()

    def retry(self, names: Sequence[str]) -> None:
        """Take back that these points failed: the next run tries them again."""
        points = {name: self.ledger.trial(name).point for name in names}
        if points:
            self.ledger.forget(names)
            self._told = {name: score for name, score in self._told.items() if name not in points}
            self.ledger.ask(points)


def open_study(
    runner: Runner,
    name: str,
    *,
    project: Project | None = None,
    sampler: str = "",
    kfolds: int = 0,
    seed: int | None = None,
) -> Study:
    """A study of a search of the project file (that of the folder one is in, if none is given).

    `sampler`, `kfolds` and `seed` count in place of what is written there. Raises `NotFound` for the name, `Invalid` for what does not fit.
    """
    project = chosen_project(Path.cwd()) if project is None else project
    settings = find_settings(project.searches, name, project.file)
    return Study(runner, changed(settings, sampler=sampler, kfolds=kfolds, seed=seed), project)


def changed(settings: SearchSettings, *, sampler: str = "", kfolds: int = 0, seed: int | None = None) -> SearchSettings:
    """The settings with what was said on the command line. Raises `Invalid`."""
    if kfolds and settings.folds is None:
        raise settings.wrong("folds", "it has no folds whose number could be chosen", 'as in folds = { repo = "folds", k = 3 }')
    if kfolds == 1:
        raise Invalid("--kfolds 1 leaves nothing to train on", hint="2 is the least")
    changes: Mapping[str, Any] = {
        **({"sampler": sampler} if sampler else {}),
        **({"seed": seed} if seed is not None else {}),
        **({"folds": dataclasses.replace(settings.folds, k=kfolds)} if kfolds and settings.folds else {}),
    }
    return dataclasses.replace(settings, **changes)
