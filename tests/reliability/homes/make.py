"""Makes the sample homes: `python -m tests.reliability.homes.make FOLDER`, with the code whose format they are to have.

Those that lie here are of format 1, made by commit 3d2be43, and `large_appends` of format 2, by the commit that brought it. They are
never made anew: a sample of an old format is of use only if the old code made it. Beside each home lies its portrait, as that code read it.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from local_runner.engine.loop import Engine
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import parse_branch, parse_commit, parse_file, parse_repo
from local_runner.runner import Runner
from tests.reliability.portrait import portrait_at
from tests.support.lab import Lab, copy

LARGE = b"0123456789abcdef" * 5000  # a file of its own in `objects/`
DATUMS = {f"/f{number:02}": f"content {number}\n" * 20 for number in range(40)}


def repos_pipelines_jobs(lab: Lab) -> None:
    """Two pipelines, of which the second batch fails; an errored and a squashed commit, a branch, a project, an open transaction."""
    lab.runner.create_project("other", "a second project")
    lab.put("data@master", {"/a": "1", "/b": "2", "/dir/large": LARGE})
    lab.pipeline("up", "data:/*", _fails_on_bad, datum_tries=1, output_branch="master")
    lab.pipeline("down", "up:/*", copy)
    lab.run_all()
    lab.put("data@master", {"/b": "bad", "/c": "3"})
    lab.run_all()
    lab.put("data@master", {"/b": "4", "/a": None})
    lab.run_all()
    lab.pipeline("up", "data:/*", _fails_on_bad, update=True, reprocess=True, datum_tries=2)
    lab.put("plain@master", {"/x": "old"})
    middle = lab.put("plain@master", {"/x": "middle", "/odd name, 1;&%=": "odd"})
    lab.put("plain@master", {"/x": "new"})
    lab.runner.squash_commit_set(middle.id)
    lab.runner.create_branch(parse_branch("plain@side"), parse_commit("plain@master^"))
    broken = lab.runner.start_commit(parse_branch("plain@broken"))
    lab.runner.finish_commit(parse_commit(f"plain@{broken.id}"), error="somebody gave up")
    lab.run_all()
    with Runner.open(lab.runner.home, background=False, transactional=True) as person:
        person.start_transaction()
        person.create_repo(parse_repo("later"))


def killed_in_the_middle(lab: Lab) -> None:
    """A write-ahead log, an open job of which about half is written, one that waits for it, an open commit, a draft and a wakeup."""
    lab.put("data@master", DATUMS | {"/large": LARGE.decode()})
    lab.put("mine@master", {"/kept": "kept"})
    lab.runner.start_commit(parse_branch("mine@master"))
    (lab.runner.home / "drafts" / "tmpleft").write_bytes(b"half a content")
    written: list[int] = []
    flush = Engine._flush

    def counted(engine: Engine) -> None:
        flush(engine)
        written.append(1)

    Engine._flush = counted  # type: ignore[method-assign]
    seen: list[str] = []

    def dies(datum: ScriptedDatum) -> None:
        seen.append(datum.env["PACH_DATUM_ID"])
        if written and len(seen) >= 20:
            os._exit(0)
        if len(seen) == 18:
            time.sleep(0.8)  # the engine writes what it has
        copy(datum)

    lab.pipeline("up", "data:/*", dies, datum_set_spec={"number": 1})
    lab.pipeline("down", "up:/*", copy)
    lab.jobs_at_once = 1
    lab.run_all()


def logs_and_secrets(lab: Lab) -> None:
    """Lines of two tries, on both streams, with bytes that are no letters; two secrets, one of which a pipeline is given."""
    lab.runner.create_secret({"metadata": {"name": "plain"}, "stringData": {"key": "value"}})
    lab.runner.create_secret({"metadata": {"name": "coded"}, "data": {"key": "dmFsdWU="}})
    lab.put("data@master", {f"/f{number}": str(number) for number in range(5)})
    tries: dict[str, int] = {}

    def speaks(datum: ScriptedDatum) -> int:
        name = datum.env["PACH_DATUM_ID"]
        tries[name] = tries.get(name, 0) + 1
        datum.say(f"try {tries[name]} has {datum.env.get('KEY')}")
        datum.say("odd: \u00e9 \U0001f4a5 \x1b[31m \ufffd", "stderr")
        copy(datum)
        return int(tries[name] < 2)

    secret = {"name": "plain", "env_var": "KEY", "key": "key"}
    lab.pipeline("speaks", "data:/*", speaks, transform={"secrets": [secret]})
    lab.run_all()


def large_appends(lab: Lab) -> None:
    """A file that is parts of others: appended to twice, and copied to a repo of its own."""
    lab.put("data@master", {"/large": bytes(41_000_000)})  # two longest chunks, of which nothing is written, and a short one
    for more in ("more", "and more"):
        with lab.runner.modify_file(parse_commit("data@master")) as changes:
            changes.put("/large", more.encode(), append=True)
    lab.repo("kept")
    with lab.runner.modify_file(parse_commit("kept@master")) as changes:
        changes.copy(parse_file("data@master^:/large"), "/before")


def _fails_on_bad(datum: ScriptedDatum) -> int:
    copy(datum)
    return int(any(path.read_bytes() == b"bad" for path in datum.out.rglob("*") if path.is_file()))


MAKERS: tuple[Callable[[Lab], None], ...] = (repos_pipelines_jobs, killed_in_the_middle, logs_and_secrets, large_appends)
_LEFT_OUT = ("bin", "engine.log")  # made anew by each engine; they name the machine


def main(folder: Path) -> None:
    """Make each home in a process of its own, which may die, and pack it."""
    for maker in MAKERS:
        home = folder / maker.__name__
        child = os.fork()
        if not child:
            maker(Lab(home))
            os._exit(0)  # with the log that a kill would leave
        os.waitpid(child, 0)
        with tarfile.open(folder / f"{home.name}.tar.xz", "w:xz") as archive:
            for path in sorted(home.rglob("*")):
                if path.relative_to(home).parts[0] not in _LEFT_OUT and not path.is_fifo():
                    archive.add(path, str(path.relative_to(home)), recursive=False, filter=_nobody)
        lines = (f"{json.dumps(name)}: {json.dumps(what)}" for name, what in sorted(portrait_at(home).items()))
        (folder / f"{home.name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    folder, sys.argv[1:] = Path(sys.argv[1]), []  # locks say who took them
    main(folder)
