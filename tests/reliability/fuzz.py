"""Bent inputs to the Python API: specs, pipelines, addresses, globs, schedules, sizes. Each is taken, or refused in words, soon."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_runner.errors import LocalRunnerError
from local_runner.model.globs import compile_glob
from local_runner.model.refs import parse_branch, parse_commit, parse_file, parse_repo
from local_runner.model.schedule import parse_schedule
from local_runner.model.units import parse_go_duration, parse_proto_duration, parse_rfc3339, parse_size
from local_runner.runner import Runner
from local_runner.specs.read import examine_documents, read_documents
from tests.reliability.attack import MEMORY, ROOT, Report, scaled

SHARE = 10_000  # inputs, of all kinds
_PATIENCE = 10.0  # seconds for one
_WEIGHTS = {"spec": 3, "glob": 4, "address": 4, "unit": 4, "pipeline": 1}

_SCRAPS = (
    *(
        "",
        "\0",
        "\n",
        "\x7f",
        "é",
        "e\u0301",
        "\ud800",
        "..",
        "../",
        "/",
        "//",
        "*",
        "**",
        "?",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "!",
        "^",
        "~",
    ),
    *("@", ":", "=", ".", "-", "+", "|", ",", "\\", "$", "$1", "%", "0", "-1", "1e400", "9" * 30, "9" * 5000, "NaN", "null", "true"),
    *("[" * 2000, '{"a":' * 2000, "a" * 300, "a" * 5000, "master", "^1", "^99999999999", ".1", "0000000000004000a000000000000000"),
    *("&a", "*a", "!!binary x", "<<", "- ", "\t", "'", '"', "\u202e", "💥"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, 2**63, "", "x", "0", "-1s", "1s", "1e9s", [], {}, [None], [[]], {"a": None}, [{}], "a" * 300),
    *("é", "/pfs/out", "$1", "*", "../..", [1, 2], {"": ""}, "\0", "2999999999s", "18446744073709551616"),
)
_FIELDS = (
    *("input", "transform", "pipeline", "parallelism_spec", "datum_tries", "datum_timeout", "job_timeout", "egress", "service"),
    *("spout", "cron", "cross", "union", "join", "group", "pfs", "glob", "join_on", "group_by", "lazy", "s3", "resource_limits"),
    *("resource_requests", "datum_set_spec", "output_branch", "metadata", "autoscaling", "reprocess_spec", "tolerations"),
    *("salt", "version", "spec_commit", "trigger", "name", "repo", "branch", "project", "env", "secrets", "cmd", "stdin"),
    *("err_cmd", "image", "user", "working_dir"),
)
_GLOBS = ("/*", "/**", "/(*)", "/a*b?c", "/[a-z]*", "/[!a]*", "/{a,b}/*", "/@(a|b)", "/+(a)", "/!(a)", "/(*)-(*)", "/[[:alpha:]]*")
_SLOW_GLOBS = ("*(a*)*(a*)*(a*)*(a*)b", "/+(+(+(a)))b", "/*(*(*(*(a))))x", "/!(!(a))", "{a*,b*}" * 12)
_PATHS = ("/a", "/ab/c.txt", "/" + "a" * 40, "/" + "ab" * 30 + "/x", "/é")
_ADDRESSES = (
    *("data@master:/a", "default/data@master^1:/a*", "data@master.1:/", "data@master=0000000000004000a000000000000000:/a"),
    *("data@master~2", "data.meta@master", "data", "p@0000000000004000a000000000000000"),
)
_UNITS = (
    *("*/5 * * * *", "0 0 31 2 *", "1-5,7 0/3 * jan-mar mon", "@every 1h2m", "@daily", "0 0 29 2 1", "5s", "1h3m2.5s", "10M", "1Gi"),
    *("2020-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00-23:59"),
)
_MOMENTS = (datetime(2024, 2, 28, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
_SPECS: tuple[dict[str, Any], ...] = (
    {
        "pipeline": {"name": "a"},
        "input": {"pfs": {"repo": "data", "glob": "/*", "join_on": "$1", "lazy": True}},
        "transform": {"cmd": ["sh"], "stdin": ["true"], "env": {"A": "b"}, "secrets": [{"name": "s", "mount_path": "/s"}]},
        "datum_timeout": "5s",
        "job_timeout": "1h",
        "datum_set_spec": {"number": 2, "size_bytes": 10},
        "resource_limits": {"memory": "1G", "cpu": 0.5, "gpu": {"type": "x", "number": 1}},
        "metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}},
    },
    {
        "pipeline": {"name": "b"},
        "input": {"cron": {"name": "tick", "spec": "@every 1h", "overwrite": True}},
        "transform": {"cmd": ["true"]},
    },
    {
        "pipeline": {"name": "c"},
        "input": {"join": [{"pfs": {"repo": "data", "name": name, "glob": "/(*)", "join_on": "$1"}} for name in ("x", "y")]},
        "transform": {"cmd": ["true"]},
    },
    {"pipeline": {"name": "e"}, "spout": {"service": {"internal_port": 80, "external_port": 81}}, "transform": {"cmd": ["true"]}},
)


class _Hang(BaseException):
    pass


class Fuzz:
    """Bends what is right by chance, and judges what becomes of it."""

    def __init__(self, report: Report, choice: random.Random, runner: Runner) -> None:
        self.report, self.choice, self.runner = report, choice, runner
        own = [json.loads(path.read_text()) for path in sorted((ROOT / "pipelines").glob("*.json"))]
        self.specs: list[dict[str, Any]] = [*_SPECS, *own]
        self._seen: set[str] = set()

    def attempt(self, kind: str, case: object, work: Callable[[], object]) -> bool:
        """Whether it was taken; what is neither taken nor refused in words, in time, breaks a promise."""
        self.report.count(f"bent {kind}")
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        try:
            work()
            return True
        except (LocalRunnerError, OSError):
            return False
        except _Hang:
            self._breaks(f"{kind} takes more than {_PATIENCE:.0f} s", case)
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/local_runner/" in frame.filename]
            where = f"{Path(frames[-1].filename).name} {frames[-1].name}" if frames else "?"
            self._breaks(f"{kind}: {type(error).__name__} in {where}", case)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    def _breaks(self, what: str, case: object) -> None:
        if what not in self._seen:
            self._seen.add(what)
            self.report.breaks(f"{what}: {case!r:.300}")

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def spec(self) -> None:
        base = self.choice.choice(self.specs)
        text = self.bend_text(self.choice.choice((json.dumps, as_yaml))(base))
        self.attempt("spec", text, lambda: [list(errors) for _, errors in examine_documents(text, "x")])
        self.attempt("spec", text, lambda: list(read_documents(text, "x")))

    def glob(self) -> None:
        pattern = self.choice.choice((*_GLOBS, *_SLOW_GLOBS))
        pattern = self.bend_text(pattern, 5) if self.choice.random() < 0.95 else pattern

        def use() -> None:
            found = compile_glob(pattern)
            for path in _PATHS:
                found.matches(path)
                with contextlib.suppress(LocalRunnerError):
                    found.replace(path, "$1-$2")

        self.attempt("glob", pattern, use)

    def address(self) -> None:
        text = self.bend_text(self.choice.choice(_ADDRESSES), 3)
        for parse in (parse_repo, parse_branch, parse_commit):
            self.attempt("address", text, lambda parse=parse: parse(text))
        if self.attempt("address", text, lambda: parse_file(text)):
            query = parse_file(text)
            self.attempt("address", text, lambda: list(self.runner.list_file(query)))
            self.attempt("address", text, lambda: list(self.runner.get_file(query)))
            self.attempt("address", text, lambda: list(self.runner.glob_file(query.commit, query.path)))

    def unit(self) -> None:
        text = self.bend_text(self.choice.choice(_UNITS), 3)
        self.attempt("unit", text, lambda: [parse_schedule(text).next_after(moment) for moment in _MOMENTS])
        for parse in (parse_go_duration, parse_proto_duration, parse_rfc3339, parse_size):
            self.attempt("unit", text, lambda parse=parse: parse(text))

    def pipeline(self) -> None:
        """What is taken has to be listed and deleted again."""
        document = self.bend_document(self.choice.choice(self.specs))
        self.attempt("pipeline", document, lambda: self.runner.create_pipeline(document, project="default"))
        for info in self.runner.list_pipeline():
            self.attempt("pipeline", document, lambda: [list(self.runner.list_datum(job.job)) for job in self.runner.list_job()])
            if not self.attempt("pipeline", document, lambda info=info: self.runner.delete_pipeline(info.pipeline, force=True)):
                self._breaks("a pipeline was taken, and cannot be deleted", document)

    # -- how to bend -----------------------------------------------------------------------------------------------------

    def bend_text(self, text: str, most: int = 4) -> str:
        choice = self.choice
        for _ in range(choice.randint(1, most)):
            at = choice.randrange(len(text) + 1)
            how = choice.randrange(6)
            if how == 0:
                text = text[:at] + choice.choice(_SCRAPS) + text[at:]
            elif how == 1:
                text = text[:at] + text[at + choice.randint(1, 6) :]
            elif how == 2 and text:
                other = choice.randrange(len(text))
                text = text[:at] + text[other : other + choice.randint(1, 40)] + text[at:]
            elif how == 3:
                text = text[:at] + chr(choice.choice((choice.randrange(128), choice.randrange(0x3000)))) + text[at + 1 :]
            elif how == 4 and text and choice.random() < 0.15:
                text = text[: choice.randrange(len(text))]
            else:
                text = text.replace(choice.choice(text) if text else "a", choice.choice(_SCRAPS), 1)
        return text

    def bend_document(self, document: dict[str, Any]) -> dict[str, Any]:
        """With one or two things in it replaced, doubled, renamed or taken away."""
        bent: dict[str, Any] = json.loads(json.dumps(document))
        for _ in range(self.choice.choice((1, 1, 2))):
            places = list(_places(bent))
            if not places:
                break
            node, key = self.choice.choice(places)
            how = self.choice.randrange(4)
            if how == 1 and isinstance(node, dict):
                node[self.choice.choice(_FIELDS)] = self.choice.choice(_VALUES)
            elif how == 2:
                other, name = self.choice.choice(places)
                node[key] = json.loads(json.dumps(other[name]))
            elif how == 3 and isinstance(node, dict):
                node[self.bend_text(str(key), 1)] = node.pop(key)
            else:
                node[key] = self.choice.choice(_VALUES)
        return bent


def _places(node: Any) -> Any:
    """Each container of a document with each of its keys; documents that were bent often are too deep for recursion."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        for key, below in list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()):
            yield node, key
            waiting.append(below)


def as_yaml(value: Any, indent: str = "") -> str:
    """A document as YAML in blocks."""
    if isinstance(value, dict) and value:
        return "".join(f"\n{indent}{key}: {as_yaml(below, indent + '  ')}" for key, below in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{indent}- {as_yaml(below, indent + '  ').lstrip()}" for below in value)
    return json.dumps(value)


def attack(scale: float, seed: int) -> Report:
    """All kinds in turn by chance, until there were enough."""
    report, choice = Report("bent inputs"), random.Random(seed)
    before = signal.signal(signal.SIGALRM, _late)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY) as folder,
            Runner.open(Path(folder, "home"), background=False) as runner,
        ):
            runner.create_repo(parse_repo("data"))
            with runner.modify_file(parse_commit("data@master")) as change:
                for name in ("a", "b", "ab", "dir/c"):
                    change.put(f"/{name}", name.encode())
            fuzz, wanted = Fuzz(report, choice, runner), scaled(SHARE, scale)
            while sum(report.did.values()) < wanted:
                kind = choice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
                getattr(fuzz, kind)()
            report.broken += [f"fsck finds {tuple(found)}" for found in runner.fsck()]
    finally:
        signal.signal(signal.SIGALRM, before)
    return report


def _late(*_: object) -> None:
    raise _Hang
