"""kill -9 at random moments: to a run, its engine or one of its helpers, to verbs, and to the engine in the background."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from local_runner.errors import LocalRunnerError
from local_runner.executors.table import EXECUTORS
from local_runner.model.refs import CommitQuery, FileQuery, parse_file, parse_repo
from local_runner.runner import Runner
from tests.reliability.attack import HANG, Project, Report, descendants, end_of, is_traceback, kill_group, project, scaled

RUN_SHARE, VERB_SHARE = 8, 20  # kills
_FILES = 24
_PATIENCE = 240  # seconds
_BATCH = """
import os, shutil
from pathlib import Path
from python_pachyderm import batch_all_datums
def one():
    print("ran", flush=True)
    for file in Path("/pfs/a").iterdir():
        shutil.copy(file, "/pfs/out/" + file.name)
batch_all_datums(one)()
"""
_SHELL = "echo ran; f=$(ls /pfs/{source}); cp /pfs/{source}/$f /pfs/out/; echo {name} >> /pfs/out/$f; sleep 0.02"

Files = dict[str, str]


def executor() -> str:
    """The strongest executor without images that this machine has."""
    return next((name for name in ("sandbox", "process") if not EXECUTORS[name]().why_not()), "process")


def attack_runs(scale: float, seed: int) -> Report:
    """A run in the foreground over three pipelines, one of them batching, killed again and again until it comes to its end."""
    report, choice = Report("kill -9 to a run, its engine and helpers"), random.Random(seed)
    wanted = scaled(RUN_SHARE, scale)
    while report.did["kills"] < wanted:
        with project(executor()) as place:
            _kill_until_done(report, choice, place)
    return report


def attack_verbs(scale: float, seed: int) -> Report:
    """Verbs and the engine they start in the background; what a verb said was done has to be there."""
    report, choice = Report("kill -9 to verbs and to the engine behind them"), random.Random(seed)
    with project(executor()) as place:
        _kill_verbs(report, choice, place, scaled(VERB_SHARE, scale))
    return report


# -- runs --------------------------------------------------------------------------------------------------------------


def _lay_out(place: Project) -> Files:
    """The project; returns what its last pipeline has to hold."""
    place.spec("a", "data", [_SHELL.format(source="data", name="a")], datum_set_spec={"number": 5})
    if importlib.util.find_spec("python_pachyderm"):
        transform = {"cmd": [sys.executable, "-c", _BATCH], "datum_batching": True}
        document = {"pipeline": {"name": "b"}, "input": {"pfs": {"repo": "a", "glob": "/*"}}, "transform": transform}
        (place.folder / "b.json").write_text(json.dumps({**document, "datum_set_spec": {"number": 30}}))
    else:
        place.spec("b", "a", ["echo ran; cp /pfs/a/* /pfs/out/"])
    place.spec("c", "b", [_SHELL.format(source="b", name="c")], datum_set_spec={"number": 3})
    (place.folder / "data").mkdir()
    files = {f"f{number:03}": f"content {number}\n" * 20 for number in range(_FILES)} | {"large": "0123456789abcdef" * 8192}
    for name, text in files.items():
        (place.folder / "data" / name).write_text(text)
    (place.folder / "local_runner.toml").write_text(
        'pipelines = ["a.json", "b.json", "c.json"]\n[[repo]]\nname = "data"\nfiles = { "/" = "data" }\n'
    )
    return {f"/{name}": f"{text}a\nc\n" for name, text in files.items()}


def _kill_until_done(report: Report, choice: random.Random, place: Project) -> None:
    expected = _lay_out(place)
    kept: Counter[str] = Counter()  # how often each datum that is done ran
    for number in range(40):
        process = place.start("--executor", executor())
        time.sleep(choice.uniform(0.1, 2.5))
        kind = "nobody"
        if process.poll() is None and number < 30:
            kind = _kill_somebody(choice, process)
            report.count("kills", int(kind != "nobody"))
            report.count(f"of {kind}", int(kind != "nobody"))
        status, output = end_of(process, _PATIENCE)
        if status == HANG:
            report.breaks(f"it hangs after a kill of {kind}: {output[-3000:]}")
        if is_traceback(output):
            report.breaks(f"traceback after a kill of {kind}: {output[-500:]}")
        report.broken += [f"left after a kill of {kind}: {what}" for what in place.left()]
        _look_after(report, kind, place, kept)
        if status and kind not in ("the group", "the engine"):
            report.breaks(f"a kill of {kind} failed the run: {output[-500:]}")
            break
        if kind == "nobody":
            break
    else:
        report.breaks("it never came to its end")
    with Runner.open(place.home, background=False) as runner:
        found = _files(runner, "c")
        if found != expected:
            report.breaks(f"the output is not what it has to be: {len(found)} files of {len(expected)}")
    report.broken += [f"a folder of workers is left: {path}" for path in place.workers()]


def _kill_somebody(choice: random.Random, run: subprocess.Popen[bytes]) -> str:
    """SIGKILL to the run's group, its engine, or one of the processes below; returns whose."""
    kind = choice.choice(("the group", "the engine", "a helper", "a helper"))
    if kind == "the group":
        kill_group(run.pid)
        return kind
    victims = {run.pid: "the engine"} if kind == "the engine" else _helpers(run)
    if not victims:
        return "nobody"
    role = choice.choice(sorted(set(victims.values())))
    victim = choice.choice([pid for pid, other in victims.items() if other == role])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return "nobody"
    return role


def _helpers(run: subprocess.Popen[bytes]) -> dict[int, str]:
    """The processes below, as soon as there are some."""
    deadline = time.monotonic() + _PATIENCE / 10
    while time.monotonic() < deadline and run.poll() is None:
        found = {process: _role(line) for process, line in descendants(run.pid).items()}
        if found:
            return found
        time.sleep(0.05)
    return {}


def _role(line: str) -> str:
    return "a launcher" if "launcher" in line else "a NextDatum server" if "batching.server" in line else "a user process"


def _look_after(report: Report, kind: str, place: Project, kept: Counter[str]) -> None:
    """fsck, the datums that were done, and which ran again."""
    if not (place.home / "FORMAT").exists():
        return
    with Runner.open(place.home, background=False) as runner:
        report.broken += [f"after a kill of {kind} fsck finds {tuple(found)}" for found in runner.fsck()]
        done, ran = _done_and_ran(runner)
    lost = kept.keys() - done
    again = [datum for datum, times in kept.items() if ran[datum] > times]
    if lost:
        report.breaks(f"after a kill of {kind} {len(lost)} finished datums are gone: {sorted(lost)[:3]}")
    if again:
        report.breaks(f"after a kill of {kind} {len(again)} finished datums ran again: {again[:3]}")
    kept.update({datum: ran[datum] - kept[datum] for datum in done})


def _done_and_ran(runner: Runner) -> tuple[set[str], Counter[str]]:
    """The datums that are done, and how often the log says that each ran; both as pipeline and id."""
    done, ran = set(), Counter[str]()
    for info in runner.list_pipeline():
        for job in runner.list_job(pipeline=info.pipeline):
            done |= {f"{info.pipeline.name} {datum.datum.id}" for datum in runner.list_datum(job.job) if datum.state == "success"}
        lines = (line for line in runner.logs(info.pipeline) if line["message"] == "ran")
        ran.update(f"{info.pipeline.name} {line['datumId']}" for line in lines)
    return done, ran


def _files(runner: Runner, name: str) -> Files:
    query = CommitQuery(parse_repo(name), branch="master")
    try:
        paths = [info.path for info in runner.walk_file(FileQuery(query, "/")) if not info.is_folder]
    except LocalRunnerError:
        return {}
    return {path: b"".join(runner.get_file(parse_file(f"{name}@master:{path}"))).decode() for path in paths}


# -- verbs -------------------------------------------------------------------------------------------------------------


def _kill_verbs(report: Report, choice: random.Random, place: Project, wanted: int) -> None:
    for repo in ("data", "other"):
        place.run("create", "repo", repo)
    place.spec("p", "data", ["cp /pfs/data/* /pfs/out/; sleep 0.02"], datum_set_spec={"number": 4})
    place.spec("q", "p", datum_set_spec={"number": 4})
    said: dict[str, bytes] = {}
    repos: set[str] = set()
    number = 0
    while report.did["kills"] < wanted:
        number += 1
        verb, words, data = _verb(choice, number)
        process = place.start(*words, input=data)
        time.sleep(choice.choice((choice.uniform(0.05, 0.5), choice.uniform(0.05, 0.5), choice.uniform(0, 2))))
        whom = choice.choice(("the verb", "the engine", "both"))
        _kill_verb_or_engine(report, place, whom, process.pid if process.poll() is None else 0)
        status, output = end_of(process, 60)
        if status == HANG and verb != "wait":
            report.breaks(f"{verb} hangs after a kill of {whom}")
        if is_traceback(output):
            report.breaks(f"{verb} after a kill of {whom}: {output[-400:]}")
        report.count("verbs reported done", int(status == 0))
        path = words[-1].rpartition(":")[2]
        if verb in ("put", "delete"):
            said.pop(path, None)  # one that was killed may have been done, or not
        if verb == "put" and status == 0:
            said[path] = data
        if verb == "repo" and status == 0:
            repos.add(words[-1])
        if number % 6 == 0:
            _look_for(report, place, said, repos)
    place.run("create", "pipeline", "-f", "p.json")
    status, output = place.run("wait", "commit", "p@master", timeout=90)
    if status:
        report.breaks(f"the last wait ends with {status}: {output[-300:]}")
    _look_for(report, place, said, repos)
    report.broken += [f"left at the end: {what}" for what in place.left(12)]
    log = place.home / "engine.log"
    if log.exists() and is_traceback(log.read_text(errors="replace")):
        report.breaks(f"traceback of an engine: {log.read_text(errors='replace')[-500:]}")


def _verb(choice: random.Random, number: int) -> tuple[str, list[str], bytes]:
    path = f"/f{choice.randrange(40)}"
    content = os.urandom(choice.choice((10, 5000, 70_000, 2_000_000)))
    verbs: dict[str, tuple[list[str], bytes]] = {
        "put": (["put", "file", f"other@master:{path}"], content),
        "input": (["put", "file", f"data@master:{path}"], content[:5000]),
        "delete": (["delete", "file", f"other@master:{path}"], b""),
        "create p": (["create", "pipeline", "-f", "p.json"], b""),
        "update p": (["update", "pipeline", "-f", "p.json", "--reprocess"], b""),
        "create q": (["create", "pipeline", "-f", "q.json"], b""),
        "delete q": (["delete", "pipeline", "q"], b""),
        "squash": (["squash", "commit", "other@master^"], b""),
        "branch": (["create", "branch", f"other@b{number}", "--head", "master"], b""),
        "repo": (["create", "repo", f"r{number}"], b""),
        "wait": (["wait", "commit", "p@master"], b""),
    }
    verb = choice.choice(sorted(verbs))
    return verb, *verbs[verb]


def _kill_verb_or_engine(report: Report, place: Project, whom: str, verb: int) -> None:
    engine = place.engine()
    if whom != "the engine" and verb:
        kill_group(verb)
        report.count("kills")
        report.count("of a verb")
    if whom != "the verb" and engine:
        try:
            os.kill(engine, signal.SIGKILL)
        except ProcessLookupError:
            return
        report.count("kills")
        report.count("of an engine")


def _look_for(report: Report, place: Project, said: dict[str, bytes], repos: set[str]) -> None:
    """What verbs said they had done."""
    with Runner.open(place.home, background=False) as runner:
        report.broken += [f"fsck finds {tuple(found)}" for found in runner.fsck()]
        lost = repos - {info.repo.name for info in runner.list_repo()}
        if lost:
            report.breaks(f"repos that were reported are gone: {sorted(lost)}")
        for path, content in said.items():
            try:
                found = b"".join(runner.get_file(parse_file(f"other@master:{path}")))
            except LocalRunnerError as error:
                found = str(error).encode()
            if found != content:
                report.breaks(f"a put of {path} that was reported is lost: {found[:60]!r}")
            report.count("reported puts looked for")
