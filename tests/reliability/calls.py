"""Lets each call of a put, of a commit and of a job fail once, SQLite's among them: EIO, ENOSPC, EMFILE, each call by its number."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_branch, parse_commit
from tests.reliability.attack import MEMORY, Report, scaled
from tests.reliability.preloaded import Shim, run_preloaded, why_not
from tests.support.lab import Lab

SHARE = 25  # calls of each kind of work that fail with each error, of those there are; ten times as long, all of them
_ALL = 10
_PATIENCE = 30  # seconds
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
BEFORE = {"/before": "before", "/large": "large" * 20_000}
LATER = {"/small": "small", "/huge": "huge" * 30_000}
_DONE, _REFUSED = "done", "refused"


def attack(scale: float, seed: int) -> Report:
    """Each in a process of its own, which then tries the same again without errors."""
    if why_not():
        return Report("one call fails", skipped=why_not())
    found = json.loads(run_preloaded(__name__, str(scale), str(seed)))
    report = Report("one call fails")
    report.did.update(found["did"])
    report.broken = found["broken"]
    return report


# -- what is done ------------------------------------------------------------------------------------------------------


def put(lab: Lab) -> None:
    lab.put("data@master", LATER)


def commit(lab: Lab) -> None:
    if lab.runner.inspect_commit(parse_commit("data@master")).finished is not None:
        lab.runner.start_commit(parse_branch("data@master"))
    lab.put("data@master", LATER)
    lab.runner.finish_commit(parse_commit("data@master"))


def job(lab: Lab) -> None:
    lab.put("data@master", LATER)
    lab.run_all()


WORKS: tuple[Callable[[Lab], None], ...] = (put, commit, job)


def _prepare(home: Path) -> None:
    lab = Lab(home, jobs=1)
    lab.put("data@master", BEFORE)
    lab.pipeline("up", "data:/*")
    lab.pipeline("down", "up:/*")
    lab.run_all()
    lab.close()


# -- inside, with the shim -----------------------------------------------------------------------------------------------


def main(scale: float, seed: int) -> None:
    """Print the report as JSON."""
    report, shim, choice = Report("one call fails"), Shim(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="calls-", dir=MEMORY) as folder:
        ready = Path(folder, "ready")
        _prepare(ready)
        for work in WORKS:
            count = int(_in_a_child(Path(folder), ready, lambda home, work=work: _count(shim, home, work)))
            for error in ERRORS:
                wanted = count if scale >= _ALL else min(count, scaled(SHARE, scale))
                for at in sorted(choice.sample(range(count), wanted)):
                    said = _in_a_child(Path(folder), ready, lambda home, a=at, e=error, w=work: _try(shim, home, w, a, e))
                    end, _, problem = said.partition("\n")
                    report.count("calls that failed")
                    report.count(f"of a {work.__name__} with {errno.errorcode[error]}")
                    report.count("after which the work was refused", int(end == _REFUSED))
                    if problem:
                        report.breaks(f"{work.__name__}, {errno.errorcode[error]} at call {at} of {count}: {problem}")
    print(json.dumps({"did": report.did, "broken": report.broken}))


def _count(shim: Shim, home: Path, work: Callable[[Lab], None]) -> str:
    lab = Lab(home, jobs=1)
    shim.arm(home)
    work(lab)
    count = shim.calls()
    shim.disarm()
    return str(count)


def _try(shim: Shim, home: Path, work: Callable[[Lab], None], at: int, error: int) -> str:
    """How the work ended, and in a second line what is wrong afterwards."""
    lab = Lab(home, jobs=1)
    shim.arm(home, at, error)
    try:
        work(lab)
        end = _DONE
    except (LocalRunnerError, OSError):  # the commands say these in words
        end = _REFUSED
    finally:
        shim.disarm()
    return f"{end}\n{_problem(home, lab, work, end)}"


def _problem(home: Path, lab: Lab, work: Callable[[Lab], None], end: str) -> str:
    fresh = Lab(home, jobs=1)
    found = fresh.runner.fsck()
    if found:
        return f"{end}, and fsck finds {[tuple(finding) for finding in found[:2]]}"
    files = fresh.files("data@master")
    if any(files.get(path) != content for path, content in BEFORE.items()):
        return f"{end}, and what was there before is {sorted(files)}"
    if files != BEFORE | LATER and (end == _DONE or files != BEFORE):
        return f"{end}, and data has {sorted(files)}"
    fresh.close()
    work(lab)  # the same process again, which may hold nothing back
    lab.run_all()
    for name in ("up", "down"):
        if lab.state(name) is not JobState.SUCCESS:
            lab.runner.rerun_pipeline(PipelineRef("default", name))
            lab.run_all()
        if lab.files(f"{name}@master") != BEFORE | LATER:
            return f"{end}; afterwards {name} is {lab.state(name).word} with {sorted(lab.files(f'{name}@master'))}"
    found = lab.runner.fsck()
    return f"{end}; afterwards fsck finds {[tuple(finding) for finding in found[:2]]}" if found else ""


def _in_a_child(folder: Path, ready: Path, work: Callable[[Path], str]) -> str:
    """What some work on a copy of a home says, done in a process of its own."""
    home, answer = folder / "home", folder / "answer"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(ready, home, ignore=lambda where, names: names if where.endswith("/bells") else [])
    answer.write_text("\nit ended without a word")
    child = os.fork()
    if not child:
        signal.alarm(_PATIENCE)  # ends it
        try:
            answer.write_text(work(home))
        except BaseException as error:
            answer.write_text(f"\ntraceback: {error!r} in {traceback.extract_tb(error.__traceback__)[-1]}")
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "\nhangs" if status == -signal.SIGALRM else answer.read_text()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
