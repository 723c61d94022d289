"""Any command with any words: it ends, with a status that is documented, in words."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.cli.commands.help import EXIT_CODES
from local_runner.cli.main import main
from local_runner.cli.table import ALONE, NOUNS
from local_runner.cli.tree import load
from local_runner.executors.scripted import ScriptedExecutor
from local_runner.storage.home import find_home
from tests.cli.conftest import _copy, copying, work_here

EXAMPLES = int(os.environ.get("HOSTILE_LINES", "300"))  # how many command lines; the more the longer
LIMIT = 60  # seconds for one command, on a busy machine

_LINES = itertools.count()

# What stays until something happens, runs user code for real, starts an editor or asks the network.
_STAYS = {
    "watch",
    "serve",
    "search",
    "image pull",
    "engine",
    "run",
    "deploy",
    "pull",
    "build",
    "subscribe commit",
    "wait commit",
    "wait job",
    "next datum",
    "edit pipeline",
}
_STAYS |= {"datum shell", "datum run", "doctor"}
_FLAGS_LEFT_OUT = {"--follow", "--yes", "--wait", "--help", "--executor"}

COMMANDS: dict[str, click.Command] = {
    name: load(target)
    for name, target in [
        *ALONE.items(),
        *((f"{verb} {noun}", target) for verb, nouns in NOUNS.items() for noun, target in nouns.items()),
    ]
    if name not in _STAYS
}

IDS = ["0" * 12 + "4" + "0" * 19, "0000000000004000a000000000000000", "f" * 64]
NAMES = [
    "data",
    "p",
    "default",
    "master",
    "in",
    "s",
    "nope",
    "",
    ".",
    "..",
    "-",
    "--",
    "@",
    ":",
    "/",
    "a b",
    "é",
    "\ud800",
    "\udcff",
    "x" * 300,
]
NUMBERS = [
    "0",
    "-1",
    "1",
    "9" * 19,
    "9" * 30,
    "9" * 5000,
    "1e400",
    "NaN",
    "0x10",
    "1_0",
    "²",
    "1.5",
    "-0",
    "+1",
    "1h",
    "-1h",
    "9" * 30 + "h",
]
ADDRESSES = [
    *(
        "data@master",
        "data@master:/a",
        "data@master:/*",
        "default/data@master",
        "p@master:/**",
        "p@" + IDS[0],
        "data.meta@master",
        "a/b/c@d:e",
    ),
    *("data@master^" + "9" * 5000, "data@master.9999999999999999999", "data@master~2", "data@=:", "data@^", "data@master:/" + "x/" * 2000),
    *("data@master:/*(a*)*(a*)*(a*)*(a*)b", "data@master:/[", "data@master:/" + "(" * 3000, "data@master:/../..", "data@master:/\x1b[2J\n"),
]
FILES = ["deep.json", "deep.yaml", "cut.tgz", "bytes", "spec.json", "folder", "missing", "/dev/null", "-", "out", "nul\0", "x.tar"]
OTHERS = [
    "$(touch x)",
    "`",
    "'",
    '"',
    "\\",
    "\n",
    "*",
    "%s",
    "{0}",
    "{",
    "[" * 3000,
    "@every 1s",
    "* * * * *",
    "@every " + "9" * 5000 + "h",
    "key=value",
]
VALUES = st.sampled_from(NAMES + NUMBERS + ADDRESSES + FILES + OTHERS + IDS) | st.text(max_size=12).filter(lambda text: "\0" not in text)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words = name.split()
    for param in COMMANDS[name].params:
        count = draw(st.sampled_from([0, 1, 1, 1, 2])) if isinstance(param, click.Argument) else draw(st.sampled_from([0, 0, 0, 1]))
        if _FLAGS_LEFT_OUT & set(param.opts):
            continue
        for _ in range(count):
            if isinstance(param, click.Argument):
                words.append(draw(VALUES))
            elif param.is_flag:
                words.append(param.opts[-1])
            else:
                words += [param.opts[-1], draw(VALUES)]
    return [word.replace("\0", "") for word in words]


AT_WORK = work_here(ScriptedExecutor(_copy))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lines")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LOCAL_RUNNER_HOME", str(folder / "home"))
        patch.setenv("PAGER", "cat")
        Path("deep.json").write_text('{"a":' * 5000)
        Path("deep.yaml").write_text("a: " + "[" * 5000)
        Path("cut.tgz").write_bytes(gzip.compress(b"x" * 100_000)[:-20])
        Path("x.tar").write_bytes(b"x" * 600)
        Path("bytes").write_bytes(b'\xff\xfe{"metadata": 1}')
        Path("spec.json").write_text(str(copying()).replace("'", '"'))
        Path("folder").mkdir()
        Path("folder", "file").write_text("1")
        yield folder


def prepared(lines_before: int) -> None:
    """Something to look at, whatever the line before took away; now and then a new home, so that there is not too much."""
    if lines_before % 40 == 0:
        shutil.rmtree(find_home(), ignore_errors=True)
    run(["create", "repo", "data"])
    run(["put", "file", "data@master:/a"], stdin=b"1")
    run(["create", "pipeline", "-f", "spec.json"])


def run(words: Sequence[str], stdin: bytes = b"") -> tuple[int, str]:
    out = io.TextIOWrapper(io.BytesIO(), errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main(words, AT_WORK)
    assert isinstance(out.buffer, io.BytesIO)
    return status, out.buffer.getvalue().decode(errors="replace")


class Hangs(BaseException):
    """Too late."""


def late(signum: int, frame: FrameType | None) -> None:
    raise Hangs


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines())
def test_any_command_with_any_words_ends_in_words(home: Path, words: list[str]) -> None:
    before = signal.signal(signal.SIGALRM, late)
    try:
        prepared(next(_LINES))
        signal.alarm(LIMIT)
        status, said = run(words)
    except Hangs:
        status, said = -1, "it does not end"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    shown = f"{shlex.join(word[:80] for word in words)}: {said[-300:]}"
    assert status in dict(EXIT_CODES), shown
    assert "internal error" not in said, shown
    assert "Traceback" not in said, shown
    if status:
        assert said.strip(), shown
    assert not (home / "x").exists(), shown
