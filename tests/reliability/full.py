"""Disks without room, too few descriptors, files that may not grow, a home that cannot be written and one that vanishes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from local_runner.model.refs import CommitQuery, FileQuery, parse_file, parse_repo
from local_runner.runner import Runner
from tests.reliability.attack import HANG, ROOT, Project, Report, is_traceback, project

_DESCRIPTORS, _SIZES = (10, 14, 20, 28, 40, 64), (0, 4096, 100_000, 1_000_000)
_ROOM = 300  # puts at most into a small disk
_MANY = 30  # datums


def why_not() -> str:
    """Why this machine cannot do it, "" if it can."""
    if os.geteuid():
        return "small disks are mounted, which only root may"
    return "" if shutil.which("unshare") and shutil.which("mount") else "there is no unshare or mount"


def attack(scale: float, seed: int) -> Report:
    """In a mount namespace of its own, so that nothing stays mounted."""
    report = Report("full disks and other limits")
    if why_not():
        report.skipped = why_not()
        return report
    words = ["unshare", "-m", "--propagation", "private", sys.executable, "-m", __name__, str(scale), str(seed)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        report.breaks(f"it ended with {done.returncode}: {done.stderr[-2000:]}")
        return report
    found = json.loads(done.stdout)
    report.did.update(found["did"])
    report.broken = found["broken"]
    return report


# -- inside ------------------------------------------------------------------------------------------------------------


def main(scale: float, seed: int) -> None:
    """Print the report as JSON."""
    report, choice = Report("full disks and other limits"), random.Random(seed)
    for _ in range(max(1, round(scale))):
        for case in CASES if scale >= 1 else choice.sample(CASES, 3):  # each takes 10 s, mostly of waiting
            with project() as place:
                try:
                    case(report, place, choice)
                finally:
                    subprocess.run(["umount", "-lq", str(place.home)], check=False)
    print(json.dumps({"did": report.did, "broken": report.broken}))


def _mount(path: Path, size: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", str(path)], check=True)


def _remount(path: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def _run(report: Report, place: Project, case: str, *words: str, **more: object) -> tuple[int, str]:
    """A command that may fail, in words."""
    status, output = place.run(*words, timeout=60, **more)  # type: ignore[arg-type]
    report.count("commands")
    if is_traceback(output) or status == HANG or status < 0:
        report.breaks(f"{case}: {' '.join(words)} ended with {status}: {output[-500:]}")
    return status, output


def _must(report: Report, place: Project, case: str, *words: str) -> None:
    status, output = _run(report, place, case, *words)
    if status:
        report.breaks(f"{case}: {' '.join(words)} ended with {status}: {output[-500:]}")


def _fsck(report: Report, place: Project, case: str) -> None:
    with Runner.open(place.home, background=False) as runner:
        report.broken += [f"{case}: fsck finds {tuple(found)}" for found in runner.fsck()]


def _files(place: Project, repo: str) -> dict[str, int]:
    with Runner.open(place.home, background=False) as runner:
        query = FileQuery(CommitQuery(parse_repo(repo), branch="master"), "/")
        return {info.path: info.size for info in runner.walk_file(query) if not info.is_folder}


def _puts(report: Report, place: Project, choice: random.Random) -> None:
    """A home's disk fills up with puts; then it gets room."""
    _mount(place.home, "4m")
    said: dict[str, bytes] = {}
    place.run("create", "repo", "data")
    failures = 0
    for number in range(_ROOM):
        content = choice.randbytes(choice.choice((60_000, 300_000)))
        status, _ = _run(report, place, "full home", "put", "file", f"data@master:/f{number}", input=content)
        if status == 0:
            said[f"/f{number}"] = content
        failures += status != 0
        if failures == 3:
            break
    report.count("puts into a full disk", failures)
    for words in (["list", "file", "data@master"], ["status"], ["create", "repo", "more"], ["delete", "file", "data@master:/f0"]):
        if _run(report, place, "full home", *words)[0] == 0 and words[0] == "delete":
            said.pop("/f0", None)
    _fsck(report, place, "full home")
    with Runner.open(place.home, background=False) as runner:
        for path, content in said.items():
            if b"".join(runner.get_file(parse_file(f"data@master:{path}"))) != content:
                report.breaks(f"full home: a put of {path} that was reported is lost")
    _remount(place.home, "size=32m")
    _must(report, place, "a full home that has room again", "create", "repo", "after")
    _fsck(report, place, "a full home that has room again")


def _outputs(report: Report, place: Project, choice: random.Random) -> None:
    """A job's outputs fill its home; when there is room again, what was done is done."""
    _mount(place.home, "3m")
    _inputs(place)
    place.spec("p", "data", ["n=$(ls /pfs/data); head -c 200000 /dev/urandom > /pfs/out/$n"], datum_set_spec={"number": 3})
    process = place.start("create", "pipeline", "-f", "p.json", "--wait")
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and _free(place.home) > 200_000:
        time.sleep(0.05)
    time.sleep(1.0)
    _remount(place.home, "size=64m")
    output = process.communicate(timeout=120)[0].decode(errors="replace")
    if is_traceback(output):
        report.breaks(f"outputs fill the home: {output[-500:]}")
    status, output = _run(report, place, "room again", "wait", "commit", "p@master")
    if status:
        _must(report, place, "room again", "rerun", "pipeline", "p", "--wait")
    if len(_files(place, "p")) != _MANY:
        report.breaks(f"room again: p has {len(_files(place, 'p'))} files of {_MANY}: {output[-300:]}")
    _fsck(report, place, "outputs fill the home")
    report.broken += [f"outputs fill the home: left {what}" for what in place.left(15)]


def _inputs(place: Project) -> None:
    folder = place.folder / "in"
    folder.mkdir()
    for number in range(_MANY):
        (folder / f"f{number:02}").write_text(str(number))
    place.run("create", "repo", "data")
    place.run("put", "file", "-r", "data@master:/", "-f", str(folder))


def _free(path: Path) -> int:
    about = os.statvfs(path)
    return about.f_bavail * about.f_frsize


def _egress(report: Report, place: Project, choice: random.Random) -> None:
    """A file that does not fit where it is to be copied to is not half copied, and the one before it stays."""
    target = place.folder / "target"
    _mount(target, "256k")
    place.run("create", "repo", "data")
    place.run("put", "file", "data@master:/a", input=b"a" * 60_000)
    (target / "ballast").write_bytes(bytes((256 - 100) * 1024))
    (target / "a").write_bytes(b"before" * 10_000)
    place.spec("p", "data", egress={"URL": f"file://{target}/"})
    status, output = _run(report, place, "egress", "create", "pipeline", "-f", "p.json", "--wait")
    found = (target / "a").read_bytes()
    if found != (b"a" * 60_000 if status == 0 else b"before" * 10_000):
        report.breaks(f"egress to a full disk ended with {status} and {len(found)} bytes: {output[-300:]}")
    place.left(10)
    subprocess.run(["umount", "-lq", str(target)], check=False)


def _limits(report: Report, place: Project, choice: random.Random) -> None:
    """Few descriptors, small files."""
    place.run("create", "repo", "data")
    place.run("put", "file", "data@master:/before", input=b"before")
    place.spec("p", "data")
    chosen = [(resource.RLIMIT_NOFILE, count) for count in choice.sample(_DESCRIPTORS, 2)]
    chosen += [(resource.RLIMIT_FSIZE, size) for size in choice.sample(_SIZES, 2)]
    for what, value in chosen:
        limit: Callable[[], None] = partial(resource.setrlimit, what, (value, value))
        case = f"{'descriptors' if what == resource.RLIMIT_NOFILE else 'bytes a file'}: {value}"
        _run(report, place, case, "put", "file", "data@master:/large", input=choice.randbytes(2_000_000), preexec_fn=limit)
        for words in (
            ["put", "file", "data@master:/small"],
            ["list", "file", "data@master"],
            ["fsck"],
            ["update", "pipeline", "-f", "p.json"],
        ):
            _run(report, place, case, *words, preexec_fn=limit)
        place.left(10)
        _fsck(report, place, case)
    place.run("update", "pipeline", "-f", "p.json", "--reprocess")
    _must(report, place, "after the limits", "wait", "commit", "p@master")
    log = place.home / "engine.log"
    if log.exists() and is_traceback(log.read_text(errors="replace")):
        report.breaks(f"limits: traceback of an engine: {log.read_text(errors='replace')[-500:]}")
    report.broken += [f"limits: left {what}" for what in place.left(15)]


def _read_only(report: Report, place: Project, choice: random.Random) -> None:
    """A home that cannot be written can be read."""
    _mount(place.home, "16m")
    place.run("create", "repo", "data")
    place.run("put", "file", "data@master:/a", input=b"a")
    place.spec("p", "data")
    place.run("create", "pipeline", "-f", "p.json", "--wait")
    place.left(15)
    _remount(place.home, "ro")
    for words in (["list", "repo"], ["list", "file", "data@master"], ["get", "file", "p@master:/a"], ["fsck"], ["status"], ["list", "job"]):
        _must(report, place, "a home that cannot be written", *words)
    for words in (["create", "repo", "x"], ["delete", "repo", "data"]):
        if _run(report, place, "a home that cannot be written", *words)[0] == 0:
            report.breaks(f"a home that cannot be written took {' '.join(words)}")


def _removed(report: Report, place: Project, choice: random.Random) -> None:
    """A home that is removed while it is worked on stays away, and its run does not say that all is well."""
    _inputs(place)
    place.spec("p", "data", ["cp /pfs/data/* /pfs/out/; sleep 0.1"], datum_set_spec={"number": 2})
    process = place.start("create", "pipeline", "-f", "p.json", "--wait")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not place.workers() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(choice.uniform(0.2, 0.6))
    shutil.rmtree(place.home, ignore_errors=True)
    shutil.rmtree(place.home, ignore_errors=True)
    try:
        output = process.communicate(timeout=60)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0].decode(errors="replace")
        report.breaks(f"home removed: it hangs: {output[-300:]}")
    if process.returncode == 0 or is_traceback(output):
        report.breaks(f"home removed: it ended with {process.returncode}: {output[-300:]}")
    report.broken += [f"home removed: left {what}" for what in place.left(15)]
    if place.home.exists():
        report.breaks(f"home removed: it came back with {sorted(os.listdir(place.home))[:5]}")


CASES: tuple[Callable[[Report, Project, random.Random], None], ...] = (_puts, _outputs, _egress, _limits, _read_only, _removed)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
