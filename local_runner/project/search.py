"""What `[search.NAME]` in the project file says, read and checked."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from local_runner.errors import Invalid, NotFound
from local_runner.model.space import Space
from local_runner.project.search_space import read_grid, read_space

SAMPLERS = ("grid", "random", "tpe", "gp")
MAXIMIZE, MINIMIZE = "maximize", "minimize"

# Says what is wrong: the sentence, the key, the table it is in, what to do.
Wrong = Callable[[str, str, str, str], Invalid]

_KEYS = (
    "points", "parameters", "score", "direction", "space", "grid", "sampler", "trials", "seed", "folds", "pipelines", "train", "test",
    "devices",
)  # fmt: skip
_FOLD_KEYS = ("repo", "k", "seed")


@dataclass(frozen=True, slots=True)
class ScorePath:
    """Where scores are found: `repo:/pattern#field`; a field within a field has a dot before it."""

    repo: str
    pattern: str
    field: str

    def __str__(self) -> str:
        return f"{self.repo}:{self.pattern}#{self.field}"


@dataclass(frozen=True, slots=True)
class FilePath:
    """Files of a repo: `repo:/pattern`."""

    repo: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Folds:
    """In how many folds the data are cut, by which seed; pipelines read it from a file in `repo`."""

    repo: str
    k: int
    seed: int = 0

    @property
    def name(self) -> str:
        """Of the set: the folder of its points, and the file in `repo` without its ending."""
        return f"k{self.k}-s{self.seed}"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A search. `points` is the input repo that is asked, "" if the pipelines make the points themselves, of `parameters`.

    `file` is the project file; `train` and `test` are the rows a model sees and those it is judged by. `devices` are variables of user
    code, for one worker each; of no worker if there are none.
    """

    name: str
    file: Path
    score: ScorePath
    points: str = ""
    parameters: tuple[str, ...] = ()
    maximize: bool = True
    space: Space | None = None
    is_grid: bool = False
    sampler: str = "random"
    trials: int = 50
    seed: int = 0
    folds: Folds | None = None
    pipelines: tuple[Path, ...] = ()
    train: FilePath | None = None
    test: FilePath | None = None
    devices: tuple[Mapping[str, str], ...] = ()

    @property
    def folder(self) -> str:
        """Where the points of the present folds are; "" without folds."""
        return self.folds.name if self.folds else ""

    def wrong(self, field: str, message: str, hint: str = "") -> Invalid:
        """An error about one of its fields that shows only once the pipelines are known."""
        return Invalid(f"{self.file}: search.{self.name}.{field}: {message}", hint=hint)


def find_settings(searches: Mapping[str, SearchSettings], name: str, file: Path) -> SearchSettings:
    """The search of a name. Raises `NotFound`."""
    if name not in searches:
        near = get_close_matches(name, searches, 1)
        known = f"there are {', '.join(searches)}" if searches else "a search is written as [search.NAME], see docs/SEARCH.md"
        raise NotFound(f"{file} has no search {name!r}", hint=f"did you mean {near[0]}?" if near else known)
    return searches[name]


def read_searches(listed: Any, path: Path, wrong: Wrong) -> dict[str, SearchSettings]:
    """All searches of a project file. Raises what `wrong` makes."""
    if not isinstance(listed, dict) or not all(isinstance(table, dict) for table in listed.values()):
        raise wrong("search: expected a table for each search", "", "search", "write [search.NAME] above it")
    return {name: _Reader(name, path, table, wrong).settings() for name, table in listed.items()}


@dataclass(frozen=True, slots=True)
class _Reader:
    """From one table to its settings."""

    name: str
    path: Path
    table: Mapping[str, Any]
    report: Wrong

    def wrong(self, key: str, message: str, hint: str = "", table: str = "") -> Invalid:
        where = f"search.{self.name}{f'.{table}' if table else ''}"
        return self.report(f"{where}{f'.{key}' if key else ''}: {message}", key, where, hint)

    def settings(self) -> SearchSettings:
        table = self.table
        for key in table:
            if key not in _KEYS:
                near = get_close_matches(key, _KEYS, 1)
                raise self.wrong(key, "unknown field", f"did you mean {near[0]}?" if near else f"it is one of {', '.join(_KEYS)}")
        points, parameters = self._text("points"), self._parameters()
        space, is_grid = self._space()
        if bool(points) == bool(parameters):
            raise self.wrong("points", "it needs either points, the input repo to ask, or parameters, fields of the score files", "")
        if points and space is None:
            raise self.wrong("space", "it is not said where to look", f"write [search.{self.name}.space], or name a grid")
        if parameters and space is not None:
            raise self.wrong("space", "the pipelines make the points themselves, by parameters, so nobody can ask for others")
        sampler = self._one_of("sampler", SAMPLERS, "grid" if is_grid else "random")
        direction = self._one_of("direction", (MAXIMIZE, MINIMIZE), MAXIMIZE)
        return SearchSettings(
            self.name,
            self.path,
            self._score(),
            points,
            parameters,
            direction == MAXIMIZE,
            space,
            is_grid,
            sampler,
            self._count("trials", 50, 1),
            self._count("seed", 0, 0),
            self._folds(),
            self._pipelines(),
            self._files("train"),
            self._files("test"),
            self._devices(),
        )

    def _text(self, key: str, default: str = "") -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, f"expected a text, found {value!r}")
        return value

    def _one_of(self, key: str, known: tuple[str, ...], default: str) -> str:
        value = self._text(key, default)
        if value not in known:
            near = get_close_matches(value, known, 1)
            raise self.wrong(key, f"{value} is none of {', '.join(known)}", f"did you mean {near[0]}?" if near else "")
        return value

    def _count(self, key: str, default: int, least: int, table: Mapping[str, Any] | None = None, within: str = "") -> int:
        value = (self.table if table is None else table).get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"expected a whole number from {least} on, found {value!r}", table=within)
        return value

    def _parameters(self) -> tuple[str, ...]:
        value = self.table.get("parameters", [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong("parameters", 'expected fields of the score files, as in ["C", "gamma"]')
        return tuple(value)

    def _space(self) -> tuple[Space | None, bool]:
        written, grid = self.table.get("space"), self._text("grid")
        if written is not None and grid:
            raise self.wrong("grid", "there is a space as well, and only one of them can count", "leave one of them out")
        if grid:
            return read_grid(self.path.parent / grid), True
        if written is None:
            return None, False
        if not isinstance(written, dict):
            raise self.wrong("space", "expected parameters with their ranges", f"write [search.{self.name}.space]")

        def wrong(field: str, message: str, hint: str) -> Invalid:
            return self.wrong(field, message, hint, "space")

        return read_space(written, wrong), False

    def _score(self) -> ScorePath:
        written = self._text("score")
        files, hash_sign, field = written.rpartition("#")
        repo, colon, pattern = files.partition(":")
        if not (hash_sign and field and colon and repo and pattern.startswith("/")):
            raise self.wrong("score", f"{written!r} does not say where the number is", 'write score = "repo:/*.json#accuracy"')
        return ScorePath(repo, pattern, field)

    def _files(self, key: str) -> FilePath | None:
        written = self._text(key)
        repo, colon, pattern = written.partition(":")
        if written and not (colon and repo and pattern.startswith("/")):
            raise self.wrong(key, f"{written!r} names no files", f'write {key} = "repo:/{key}.csv"')
        return FilePath(repo, pattern) if written else None

    def _folds(self) -> Folds | None:
        written = self.table.get("folds")
        if written is None:
            return None
        if not isinstance(written, dict) or not isinstance(written.get("repo"), str):
            raise self.wrong("folds", "it needs a repo and k", 'as in folds = { repo = "folds", k = 3 }')
        for key in written:
            if key not in _FOLD_KEYS:
                raise self.wrong("folds", f"unknown field {key}", f"it is one of {', '.join(_FOLD_KEYS)}")
        return Folds(written["repo"], self._count("k", 3, 2, written, "folds"), self._count("seed", 0, 0, written, "folds"))

    def _devices(self) -> tuple[Mapping[str, str], ...]:
        """From a list for each variable to the variables of each worker."""
        written = self.table.get("devices", {})
        hint = 'as in devices = { CUDA_VISIBLE_DEVICES = ["0", "1"] }, a value for each worker'
        if not isinstance(written, dict) or not all(isinstance(values, list) and values for values in written.values()):
            raise self.wrong("devices", "expected variables with lists of values", hint)
        for name, values in written.items():
            if not name.isidentifier() or not all(isinstance(value, str) and value for value in values):
                raise self.wrong("devices", f"{name}: expected a variable with a list of texts", hint)
        if len({len(values) for values in written.values()}) > 1:
            raise self.wrong("devices", f"{', '.join(written)} are for different numbers of workers", hint)
        return tuple(dict(zip(written, values, strict=True)) for values in zip(*written.values(), strict=True))

    def _pipelines(self) -> tuple[Path, ...]:
        patterns = self.table.get("pipelines", [])
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise self.wrong("pipelines", 'expected a list of paths, for example ["pipelines/svm/*.json"]')
        found: dict[Path, None] = {}
        for pattern in patterns:
            matches = sorted(glob.glob(pattern, root_dir=self.path.parent, recursive=True))
            if not matches:
                raise self.wrong("pipelines", f"{pattern}: no such file", "paths are relative to the project file")
            found |= dict.fromkeys(self.path.parent / match for match in matches)
        return tuple(found)
