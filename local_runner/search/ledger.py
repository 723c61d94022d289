"""What the store knows of a search: its points, what was told of them, and their scores. The store is the truth; this only reads it again.

POINTS@master:/[FOLDS/]NAME.json   a point that is asked for: {"C": 1, "gamma": 0.1}
POINTS@told:/[FOLDS/]NAME.json     what no pipeline can say of a point: that it failed and how, or a score given by hand
SCORE                              the files that the pipelines write
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from local_runner.errors import Invalid, NotFound, PathNotFound
from local_runner.model.globs import compile_glob
from local_runner.model.refs import CommitQuery, CommitRef, FileQuery, JobRef, RepoRef
from local_runner.model.repos import FileInfo
from local_runner.model.space import Point, canonical
from local_runner.project.search import SearchSettings
from local_runner.search.points import content_of, name_of, named_in, path_of, read_point
from local_runner.search.trials import DONE, FAILED, WAITING, Failure, Score, Trial

if TYPE_CHECKING:
    from local_runner.runner import Runner

MASTER, TOLD = "master", "told"
_WORDS = 20  # last lines of a program that are kept with a failure


class Told(NamedTuple):
    """What was told of a point."""

    point: Point
    what: Failure | float


class Ledger:
    """The trials of a search. `read` takes in what is new since the last time."""

    def __init__(self, runner: Runner, settings: SearchSettings) -> None:
        self._runner, self.settings = runner, settings
        self._project = runner.current_project
        self._glob = compile_glob(settings.score.pattern)
        self._asked: dict[str, Point] = {}
        self._told: dict[str, Told] = {}
        self._scores: dict[str, dict[str, Score | str]] = {}  # name -> path -> score, or what is wrong with the file
        self._scored_by_one: dict[JobRef, bool] = {}
        self._early: dict[str, dict[str, Score | str]] = {}  # the same, of files whose job is not over
        self._met: dict[str, int] = {}  # in which order
        self._seen: dict[str, CommitRef] = {}
        self.score_commit: CommitRef | None = None  # the newest whose scores were read

    @property
    def points(self) -> dict[str, Point]:
        """All points, also those that were taken out of the repo as they failed."""
        return {name: told.point for name, told in self._told.items()} | self._asked

    def repo(self, name: str) -> RepoRef:
        return RepoRef(self._project, name)

    # -- read ----------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what the store holds now."""
        settings = self.settings
        if settings.points:
            self._changed(self.repo(settings.points), MASTER, self._take_point)
            self._changed(self.repo(settings.points), TOLD, self._take_told)
        scores = self.repo(settings.score.repo)
        self._changed(scores, self._branch_of(scores), self._take_score, settings.score.pattern)

    def problems(self) -> list[str]:
        """Sentences about score files that belong to no point."""
        if not self.settings.points:
            return []
        known, found = self.points, []
        for name, files in self._scores.items():
            said = f"no point {name} was ever asked for" if name else "its path names no point"
            # Those of other folds are points of other searches.
            mine = [path for path in files if not name or not self.settings.folder or f"/{self.settings.folder}/" in path]
            found += [f"{self.settings.score.repo}:{path}: {said}" for path in mine if name not in known]
        return sorted(found)

    def _branch_of(self, repo: RepoRef) -> str:
        """The output branch, if a pipeline writes the repo."""
        from local_runner.model.refs import PipelineRef

        try:
            return self._runner.inspect_pipeline(PipelineRef(repo.project, repo.name)).spec.output_branch
        except NotFound:
            return MASTER

    def _changed(self, repo: RepoRef, branch: str, take: Callable[[str, bytes | None], None], pattern: str = "/**") -> None:
        """Give what differs from the last commit that was read to `take`: the path, and the content or None if it is gone."""
        head = self._newest(repo, branch)
        key = f"{repo}@{branch}"
        before = self._seen.get(key)
        if head is None or head == before:
            return
        query = CommitQuery(repo, id=head.id)
        if before is None:
            with contextlib.suppress(PathNotFound):  # no file matches
                for info, content in self._runner.get_files(FileQuery(query, pattern)):
                    if not info.is_folder:
                        take(info.path, b"".join(content))
        else:
            wanted = {info.path for info in self._runner.glob_file(query, pattern)} if pattern != "/**" else None
            changes = self._runner.diff_file(FileQuery(query), FileQuery(CommitQuery(repo, id=before.id)))
            for new, old in list(changes):
                self._take_change(query, new, old, wanted, take)
        self._seen[key] = head
        if take == self._take_score:
            self.score_commit = head

    def _take_change(
        self,
        query: CommitQuery,
        new: FileInfo | None,
        old: FileInfo | None,
        wanted: set[str] | None,
        take: Callable[[str, bytes | None], None],
    ) -> None:
        if new is not None and not new.is_folder and (wanted is None or new.path in wanted):
            take(new.path, b"".join(self._runner.get_file(FileQuery(query, new.path))))
        elif new is None and old is not None and not old.is_folder:
            take(old.path, None)

    def _newest(self, repo: RepoRef, branch: str) -> CommitRef | None:
        """The newest commit of a branch that is finished; None if there is none."""
        try:
            info = self._runner.inspect_commit(CommitQuery(repo, branch))
            while info.finished is None or info.error:
                if info.parent is None:
                    return None
                info = self._runner.inspect_commit(CommitQuery(repo, id=info.parent.id))
        except NotFound:
            return None
        return info.commit

    def _is_ours(self, path: str) -> bool:
        return PurePosixPath(path).parent == PurePosixPath("/", self.settings.folder)

    def _take_point(self, path: str, content: bytes | None) -> None:
        if not self._is_ours(path):
            return
        name = PurePosixPath(path).stem
        if content is None:
            self._asked.pop(name, None)
            return
        where = f"{self.settings.points}:{path}"
        point = read_point(content, where)
        if name != name_of(point):
            hint = f"its name would be {name_of(point)}.json: let `search` write points, or put it under that name"
            raise Invalid(f"{where}: the file is not named by its content", hint=hint)
        self._meet({name: point})

    def _meet(self, points: Mapping[str, Point]) -> None:
        for name, point in points.items():
            self._asked[name] = point
            self._met.setdefault(name, len(self._met))

    def _take_told(self, path: str, content: bytes | None) -> None:
        if not self._is_ours(path):
            return
        name = PurePosixPath(path).stem
        if content is None:
            self._told.pop(name, None)
            return
        document = json.loads(content)
        what: Failure | float = document.get("score", 0.0)
        if "failed" in document:
            known = {key: document.get(key, "") for key in ("pipeline", "job", "datum")}
            what = Failure(document["failed"], tuple(document.get("words", ())), **known)
        self._told[name] = Told(document["point"], what)
        self._met.setdefault(name, len(self._met))

    def _take_score(self, path: str, content: bytes | None) -> None:
        settings = self.settings
        if settings.points:
            name = named_in(path)
        elif content is None:
            name = next((name for name, files in self._scores.items() if path in files), "")
        else:
            point = self._parameters_in(path, content)
            name = name_of(point)
            self._meet({name: point})
        files = self._scores.setdefault(name, {})
        if content is None:
            files.pop(path, None)
            if not settings.points and not files:
                self._asked.pop(name, None)
        else:
            files[path] = self._score_in(path, content)

    def _score_in(self, path: str, content: bytes) -> Score | str:
        """The score in a file, or what is wrong with it."""
        where = f"{self.settings.score.repo}:{path}"
        field = self.settings.score.field
        try:
            found = _field(json.loads(content), field)
        except ValueError as error:
            return f"{where}: it is no JSON: {error}"
        except KeyError:
            return f"{where}#{field}: there is no such field"
        if not isinstance(found, (int, float)) or isinstance(found, bool):
            return f"{where}#{field}: {found!r} is no number"
        if not math.isfinite(found):
            return f"{where}#{field}: {found} is no score: it compares with nothing"
        return Score(_fold_of(path) if self.settings.points else "", float(found), path)

    def _parameters_in(self, path: str, content: bytes) -> Point:
        where = f"{self.settings.score.repo}:{path}"
        try:
            document = json.loads(content)
            return {name: canonical(_field(document, name)) for name in self.settings.parameters}
        except ValueError as error:
            raise Invalid(f"{where}: it is no JSON: {error}") from None
        except KeyError as missing:
            raise Invalid(f"{where}: there is no field {missing.args[0]}", hint="parameters names fields of the score files") from None

    # -- before a job is over ------------------------------------------------------------------------------------------

    def take_early(self, path: str, content: bytes) -> None:
        """Take in a file that a datum has written and its job has not committed yet; it counts until `forget_early`."""
        name = named_in(path)
        if name and self._glob.matches(path):
            self._early.setdefault(name, {})[path] = self._score_in(path, content)

    def is_scored_by_one(self, job: JobRef) -> bool:
        """Whether the score of a point, or of one of its folds, is one datum's of this job; else it is known when all have ended."""
        if job not in self._scored_by_one:
            query = FileQuery(CommitQuery(self.repo(self.settings.points), id=job.id), f"/{self.settings.folder}")
            datums, found = self._runner.inspect_job(job).counters.total, 0
            with contextlib.suppress(NotFound):
                found = sum(1 for _ in self._runner.list_file(query))
            self._scored_by_one[job] = datums <= found * (self.settings.folds.k if self.settings.folds else 1)
        return self._scored_by_one[job]

    def forget_early(self, names: Iterable[str]) -> None:
        """Let only what is committed count of these points."""
        for name in names:
            self._early.pop(name, None)

    # -- what it comes to ----------------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """All trials, in the order in which their points were met."""
        return [self.trial(name) for name in self.names()]

    def names(self) -> list[str]:
        """Of all points, in the order in which they were met."""
        return sorted(self.points, key=self._met.__getitem__)

    def trial(self, name: str) -> Trial:
        """Raises `NotFound` for a point that was never asked for."""
        point = self._asked.get(name) or (self._told[name].point if name in self._told else None)
        if point is None:
            raise NotFound(f"no point {name} was ever asked for", hint="`search results` shows the names of all points")
        return self._trial(name, point)

    def _trial(self, name: str, point: Point) -> Trial:
        order, told = self._met[name], self._told.get(name)
        what = told.what if told else None
        if isinstance(what, Failure):
            return Trial(name, point, FAILED, (), what, order)
        if what is not None:
            return Trial(name, point, DONE, (Score("", what, f"{self.settings.points}@{TOLD}"),), None, order)
        files = self._of_folds({**self._early.get(name, {}), **self._scores.get(name, {})})
        wrong = [found for found in files.values() if isinstance(found, str)]
        if wrong:
            return Trial(name, point, FAILED, (), Failure(wrong[0]), order)
        scores = tuple(sorted((found for found in files.values() if isinstance(found, Score)), key=lambda score: score.fold))
        wanted = self.settings.folds.k if self.settings.folds else 1
        return Trial(name, point, DONE if len(scores) >= wanted else WAITING, scores, None, order)

    def _of_folds(self, files: Mapping[str, Score | str]) -> dict[str, Score | str]:
        """The files of the present set of folds: the same point may have been tried on others."""
        folder = self.settings.folder
        return {path: found for path, found in files.items() if not folder or f"/{folder}/" in path}

    # -- write ---------------------------------------------------------------------------------------------------------

    def ask(self, points: Mapping[str, Point]) -> str:
        """Put points into their repo, as one commit, and take those that are told of out of it; returns the id of the commit set."""
        repo, folder = self.repo(self.settings.points), self.settings.folder
        with self._runner.modify_file(CommitQuery(repo, MASTER)) as change:
            for name, point in points.items():
                change.put(path_of(folder, name), content_of(point))
            for name in self.to_withdraw():
                change.delete(path_of(folder, name))
        self._meet(points)
        return self._runner.changed[-1]

    def to_withdraw(self) -> Iterator[str]:
        """Points that were told of and are still asked for."""
        repo, folder = self.repo(self.settings.points), self.settings.folder
        told = set(self._told)
        if not told:
            return
        for info in self._runner.list_file(FileQuery(CommitQuery(repo, MASTER), f"/{folder}")):
            if (name := PurePosixPath(info.path).stem) in told:
                yield name

    def tell(self, told: Mapping[str, Failure | float]) -> None:
        """Write down what no pipeline says of some points."""
        repo, folder = self.repo(self.settings.points), self.settings.folder
        with self._runner.modify_file(CommitQuery(repo, TOLD)) as change:
            for name, what in told.items():
                document: dict[str, Any] = {"point": dict(self.trial(name).point)}
                if isinstance(what, Failure):
                    document |= {"failed": what.reason, "words": list(what.words[-_WORDS:])}
                    document |= {key: value for key in ("pipeline", "job", "datum") if (value := getattr(what, key))}
                else:
                    document["score"] = what
                change.put(path_of(folder, name), f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode())
        self._told |= {name: Told(self.trial(name).point, what) for name, what in told.items()}

    def forget(self, names: Iterable[str]) -> None:
        """Take back what was told of some points; they can be asked for again."""
        repo, folder = self.repo(self.settings.points), self.settings.folder
        with self._runner.modify_file(CommitQuery(repo, TOLD)) as change:
            for name in names:
                change.delete(path_of(folder, name))
                self._told.pop(name, None)


def _field(document: Any, field: str) -> Any:
    """A field by its name, with a dot before each further one. Raises `KeyError`."""
    for key in field.split("."):
        if not isinstance(document, dict) or key not in document:
            raise KeyError(field)
        document = document[key]
    return document


def _fold_of(path: str) -> str:
    """What a score file is called beside its point: `0` of `/k3-s0/0123456789abcdef/0.json`."""
    stem = PurePosixPath(path).stem
    return "" if named_in(stem) else stem
