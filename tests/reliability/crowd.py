"""Eight people at one home at once: puts, appends to one file, commits, deletions, lists, runs. What each was told is looked for."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import parse_file
from local_runner.runner import Runner
from tests.reliability.attack import HANG, ROOT, Project, Report, is_traceback, project

SHARE = 12.0  # seconds
_PEOPLE = 8
_REFUSALS = (  # what a person may be told where eight are at it
    *("does not exist", "there is no repo", "not found", "already exists", "has already finished", "no commits", "open commit"),
    *("cannot squash", "ancest", "parent", "not finished", "has not been finished"),
)


def attack(scale: float, seed: int) -> Report:
    """Each in a process of its own."""
    report = Report("a crowd of 8 at one home")
    with project() as place:
        for repo in ("data", "log", "other"):
            place.run("create", "repo", repo)
        place.run("put", "file", "data@master:/first", input=b"first")
        place.spec("p", "data")
        place.run("create", "pipeline", "-f", "p.json")
        _check(report, place, [line for person in _meet(place, SHARE * scale, seed) for line in person])
        status, output = place.run("wait", "commit", "p@master", timeout=180)
        if status:
            report.breaks(f"the last wait ends with {status}: {output[-300:]}")
        with Runner.open(place.home, background=False) as runner:
            files = {repo: {info.path for info in runner.walk_file(parse_file(f"{repo}@master:/"))} for repo in ("data", "p")}
            if files["data"] != files["p"]:
                report.breaks(f"the output lacks {sorted(files['data'] ^ files['p'])[:5]}")
            report.broken += [f"fsck finds {tuple(found)}" for found in runner.fsck()]
        report.broken += [f"left at the end: {what}" for what in place.left(15)]
    return report


def _meet(place: Project, seconds: float, seed: int) -> list[list[dict[str, object]]]:
    words = [sys.executable, "-m", __name__, str(place.folder), str(seconds), str(seed)]
    people = [subprocess.Popen([*words, str(number)], stdout=subprocess.PIPE, cwd=ROOT) for number in range(_PEOPLE)]
    return [[json.loads(line) for line in person.communicate()[0].splitlines()] for person in people]


def _check(report: Report, place: Project, told: list[dict[str, object]]) -> None:
    with Runner.open(place.home, background=False) as runner:
        log = _content(runner, "log@master:/log").splitlines()
        appended = [line["appended"] for line in told if "appended" in line]
        report.count("appends to one file", len(appended))
        lost, twice = set(map(str, appended)) - set(log), len(log) - len(set(log))
        if lost or twice:
            report.breaks(f"of {len(appended)} appends {len(lost)} are lost, {twice} are there twice")
        for line in told:
            if "wrong" in line:
                report.breaks(str(line["wrong"]))
            if "verb" in line:
                report.count("verbs")
            for address, text in dict(line.get("has", {})).items():  # type: ignore[call-overload]
                report.count("reported files looked for")
                found = _content(runner, address)
                if found != text:
                    report.breaks(f"{address} was reported as {text!r}, and is {found[:80]!r}")


def _content(runner: Runner, address: str) -> str:
    try:
        return b"".join(runner.get_file(parse_file(address))).decode()
    except LocalRunnerError as error:
        return str(error)


# -- one of them -------------------------------------------------------------------------------------------------------


def person(folder: Path, seconds: float, seed: int, number: int) -> None:
    """Do what comes to mind for a while; print what one was told."""
    place, choice = Project(folder), random.Random(seed * 100 + number)
    has: dict[str, str] = {}
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        count += 1
        verb = choice.choices(("put", "append", "get", "list", "commit", "repo", "squash", "update"), (6, 3, 4, 3, 2, 2, 1, 1))[0]
        _do(place, choice, verb, number, f"{number}-{count}", has)
        _tell(verb=verb)
    _tell(has=has)


def _do(place: Project, choice: random.Random, verb: str, number: int, text: str, has: dict[str, str]) -> None:
    address = f"data@master:/m{number}-{choice.randrange(10)}"
    if verb == "put" and _said_yes(place, "put", "file", address, input=text.encode()):
        has[address] = text
    elif verb == "append" and _said_yes(place, "put", "file", "log@master:/log", "--append", input=f"{text}\n".encode()):
        _tell(appended=text)
    elif verb == "get" and has:
        address = choice.choice(sorted(has))
        status, output = place.run("get", "file", address)
        if status or output != has[address]:
            _tell(wrong=f"{address} was {has[address]!r}, and get says {output[:200]!r}")
    elif verb == "list":
        _said_yes(place, *choice.choice((["list", "repo"], ["list", "file", "data@master"], ["list", "job"], ["status"])))
    elif verb == "commit" and _said_yes(place, "start", "commit", f"other@own{number}"):
        address = f"other@own{number}:/c{choice.randrange(5)}"
        has.pop(address, None)
        if _said_yes(place, "put", "file", address, input=text.encode()) and _said_yes(place, "finish", "commit", f"other@own{number}"):
            has[address] = text
    elif verb == "repo":
        _said_yes(place, *choice.choice((["create", "repo"], ["delete", "repo"])), f"r{number}")
    elif verb == "squash":
        _said_yes(place, "squash", "commit", "log@master^")
    elif verb == "update":
        _said_yes(place, "update", "pipeline", "-f", "p.json", *choice.choice(([], ["--reprocess"])))


def _said_yes(place: Project, *words: str, input: bytes = b"") -> bool:
    status, output = place.run(*words, input=input, timeout=100)
    if status == HANG or is_traceback(output) or (status and not any(reason in output for reason in _REFUSALS)):
        _tell(wrong=f"{' '.join(words)} ended with {status}: {output[-300:]}")
    return status == 0


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    person(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
