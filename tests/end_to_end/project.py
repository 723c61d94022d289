"""A copy of this project in a folder of its own, and commands run in it as a reader of the README and the tour would type them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
README, TOUR = (ROOT / "README.md").read_text(), (ROOT / "docs" / "TOUR.md").read_text()

# What an install line of the README begins with. The tests have an environment already; the CI runs these lines as they are.
INSTALL = re.compile(r"python3 -m venv \.venv && \.venv/bin/pip install -q -e '\.\[[a-z,]+\]' && ")

# What differs from run to run or from machine to machine, and a word for it.
_UNSTABLE = (
    (re.compile(r"^executor .*"), "EXECUTOR"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DATUM"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"\b(about an?|\d+|less than a) (second|minute|hour)s?( ago)?\b", re.I), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?[KM]?i?B\b"), "SIZE"),
    (re.compile(r"(?<![\w.])\d+\.\d+( s\b)?"), "SECONDS"),
    (re.compile(r"\s+"), " "),
)


class Answer(NamedTuple):
    """How a command ended. `status` is its exit status, `text` what it printed, errors included."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def rows(self) -> dict[str, tuple[int, int, int, str]]:
        """The table of a run: pipeline -> run, reused, failed, state."""
        found = (re.fullmatch(r"(\w+) +(\d+) +(\d+) +(\d+) +[\d.]+ +(\w+)", line) for line in self.lines)
        return {row[1]: (int(row[2]), int(row[3]), int(row[4]), row[5]) for row in found if row}


@dataclass(frozen=True)
class ProjectCopy:
    """The files of the project below `root`, with a `.venv/bin` whose programs are those of the tests."""

    root: Path

    @classmethod
    def fresh(cls, root: Path) -> ProjectCopy:
        """What a clone would hold, and what is not committed yet."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        programs = root / ".venv" / "bin"
        programs.mkdir(parents=True)
        for program, call in (("python", ""), ("local_runner", " -m local_runner")):
            (programs / program).write_text(f'#!/bin/sh\nexec "{sys.executable}"{call} "$@"\n')
            (programs / program).chmod(0o755)
        return cls(root)

    def copy(self, root: Path) -> ProjectCopy:
        """Another one, with the home as it is now."""
        shutil.copytree(self.root, root, symlinks=True)
        return ProjectCopy(root)

    def bash(self, command: str, timeout: float = 120) -> Answer:
        """Run a command line."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("LOCAL_RUNNER")}
        done = subprocess.run(
            ["bash", "-c", f"shopt -s expand_aliases\n{INSTALL.sub('', command)}"],
            cwd=self.root,
            # The code of the copy counts, not that of the environment.
            env=env | {"NO_COLOR": "1", "PYTHONPATH": str(self.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout)

    def local_runner(self, arguments: str = "", timeout: float = 120) -> Answer:
        return self.bash(f".venv/bin/python -m local_runner {arguments}", timeout)

    def documents(self, arguments: str) -> list[Any]:
        """What a command with --raw prints."""
        text, decoder, found = self.local_runner(f"{arguments} --raw").text.strip(), json.JSONDecoder(), []
        while text:
            document, end = decoder.raw_decode(text)
            found.append(document)
            text = text[end:].lstrip()
        return found

    def files(self, where: str) -> dict[str, str]:
        """The files of a commit or folder: path -> hash."""
        return {entry["file"]["path"]: entry["hash"] for entry in self.documents(f"list file {where}")}

    def add_line(self, path: str, line: str) -> None:
        with (self.root / path).open("a") as file:
            file.write(f"{line}\n")

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)


class Shown(NamedTuple):
    """A command of a page and the lines shown below it."""

    command: str
    lines: tuple[str, ...]


def sessions(pages: str = f"{README}\n{TOUR}") -> dict[str, list[Shown]]:
    """The console blocks of pages, of the README and the tour if none are given: heading -> its commands in order."""
    found: dict[str, list[Shown]] = {}
    for section in re.split(r"^#+ ", pages, flags=re.M)[1:]:
        for block in re.findall(r"^```console\n(.*?)^```", section, flags=re.M | re.S):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, *lines = part.splitlines()
                found.setdefault(section.partition("\n")[0], []).append(Shown(command, tuple(filter(None, lines))))
    return found


def play(project: ProjectCopy, heading: str) -> list[Answer]:
    """Type the commands of a section, each in a shell that knows the aliases before it; compares what comes with what is shown."""
    aliases: list[str] = []
    answers = []
    for shown in sessions()[heading]:
        if shown.command.startswith("alias "):
            aliases.append(shown.command)
            continue
        answer = project.bash("\n".join([*aliases, shown.command]))
        compare(shown, answer)
        answers.append(answer)
    return answers


def compare(shown: Shown, answer: Answer) -> None:
    """Every line shown must come, in this order and but for what is unstable; more may come between. Raises AssertionError."""
    coming: Iterator[str] = iter([stable(line) for line in answer.lines])
    for line in shown.lines:
        assert line == "…" or stable(line) in coming, f"$ {shown.command}\nnever said after what comes before it: {line}\n\n{answer.text}"


def stable(line: str) -> str:
    for pattern, word in _UNSTABLE:
        line = pattern.sub(word, line)
    return line.strip()
