"""The program that answers one call of `pachctl` from inside a worker, by the rules of executors/pachctl/frames.py.

User code is not trusted: no path that it names is opened here. The other end opens what a command is to read, where user code may, and
it comes as contents; what a command writes goes there. Verbs and flags are those listed, and none that reaches the host.
"""

from __future__ import annotations

import os
import posixpath
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from local_runner import beneath
from local_runner.cli.app import comma_list
from local_runner.cli.main import report
from local_runner.cli.sources import STDIN, cannot_open, is_url
from local_runner.cli.table import ALONE, NOUNS, singular
from local_runner.cli.tree import ROOT_FLAGS, load
from local_runner.errors import Invalid, Refused
from local_runner.executors.pachctl.frames import CHUNK, ConnectionClosed, receive, send
from local_runner.storage.atomic import write_all

# What user code may ask for: verbs over data and jobs. Not what makes or changes a pipeline, which could be given any folder of the host
# (egress), any secret and the network; not transactions, which would hold the verbs of people outside; nothing of the project.
VERBS: Mapping[str, frozenset[str]] = {
    **{verb: frozenset({"file"}) for verb in ("copy", "diff", "get", "glob", "put")},
    "create": frozenset({"branch", "repo"}),
    "delete": frozenset({"branch", "commit", "file", "repo"}),
    "draw": frozenset({"pipeline"}),
    "find": frozenset({"commit"}),
    "finish": frozenset({"commit"}),
    "inspect": frozenset({"branch", "commit", "datum", "file", "job", "pipeline", "project", "repo"}),
    "list": frozenset({"branch", "commit", "datum", "file", "job", "pipeline", "project", "repo"}),
    "restart": frozenset({"datum"}),
    "run": frozenset({"cron"}),
    "squash": frozenset({"commit"}),
    "start": frozenset({"commit"}),
    "stop": frozenset({"job"}),
    "subscribe": frozenset({"commit"}),
    "update": frozenset({"repo"}),
    "wait": frozenset({"commit", "job"}),
}
VERBS_ALONE = frozenset({"help", "logs", "version", "why"})
# Flags of these that reach the host, or take away more than is named.
REFUSED_FLAGS: Mapping[str, frozenset[str]] = {
    "delete branch": frozenset({"force"}),
    "delete repo": frozenset({"all_repos", "all_projects", "force"}),
    "diff file": frozenset({"diff_command"}),
    "get file": frozenset({"retry"}),
}
# Flags that name files to be read (of `put file` also files that list such), and to be written.
_SOURCES = {"put file": "files", "list datum": "spec"}
_LISTED, _TARGET = "input_file", {"get file": "target"}

_OUTSIDE = "do it outside: user code may work on repos, commits, files and jobs"
_SPOOL = "got"  # what is to be written inside, before it is


def main() -> NoReturn:
    """Answer the call that standard input is connected to; ends this process. The working directory is empty, and for this call alone."""
    line = socket.socket(fileno=os.dup(0))
    sys.argv[0] = "pachctl"
    try:
        kind, typed = receive(line)
        if kind == b"a":
            _Answer(line).give([os.fsdecode(word) for word in typed.split(b"\0")] if typed else [])
    except ConnectionClosed:
        pass
    os._exit(0)


class _Answer:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._sending = threading.Lock()
        self._root = beneath.open_root(".")
        self._target = ""
        self._wants_input = False
        self._reader: threading.Thread | None = None

    def give(self, given: list[str]) -> None:
        """Carry out a command line, and send all that comes of it."""
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        pumps = [self._forward(descriptor, kind) for descriptor, kind in ((1, b"1"), (2, b"2"))]
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", errors="backslashreplace", closefd=False)
        status = report(lambda: self._carry_out(given), given)
        sys.stderr.flush()
        for descriptor in (1, 2):
            os.dup2(0, descriptor)
        for pump in pumps:
            pump.join()
        if self._target and not status:
            self._send_written()
        self._send(b"s", b"%d" % status)

    def _carry_out(self, given: list[str]) -> int:
        name, command, rest = find_command(given)
        try:
            with command.make_context(f"pachctl {name}", rest) as ctx:
                for param in command.params:
                    if param.name in REFUSED_FLAGS.get(name, ()) and ctx.get_parameter_source(param.name) is not ParameterSource.DEFAULT:
                        raise Refused(f"{name}: {max(param.opts, key=len)} cannot be given inside a worker", hint=_OUTSIDE)
                self._bring_files(name, ctx.params)
                self._follow()
                result = command.invoke(ctx)
        except click.exceptions.Exit as end:
            return end.exit_code
        return result if isinstance(result, int) else 0

    # -- files ---------------------------------------------------------------------------------------------------------

    def _bring_files(self, name: str, params: dict[str, Any]) -> None:
        """Let flags that name files name copies in the working directory, or what is to be sent from there."""
        if (flag := _TARGET.get(name)) and params[flag]:
            if is_url(params[flag]):
                raise Refused(f"cannot write to {params[flag]}", hint="get it into a file")
            self._target, params[flag] = params[flag], _SPOOL
        recursive = bool(params.get("recursive"))
        if listed := params.get(_LISTED) if name == "put file" else "":
            sources = self._text(listed).split("\n")
            params["files"] = tuple(self._brought(path.rstrip("\r"), recursive) for path in sources if path.rstrip("\r"))
            params[_LISTED] = ""
        elif (flag := _SOURCES.get(name)) and (value := params[flag]):
            if isinstance(value, str):
                params[flag] = self._brought(value, recursive=False)
            else:
                params[flag] = tuple(self._brought(path, recursive) for path in comma_list(value))
        elif name == "put file":
            self._wants_input = True

    def _text(self, source: str) -> str:
        """The text of a file that lists sources, read before the sources follow on the same connection."""
        if source != STDIN:
            return Path(self._brought(source, recursive=False)).read_text(errors="surrogateescape")
        self._send(b"i")
        parts = []
        while (frame := receive(self._line))[0] == b"i":
            parts.append(frame[1])
        return os.fsdecode(b"".join(parts))

    def _brought(self, source: str, recursive: bool) -> str:
        """Copy a file or folder out of the worker; returns the copy's name, which ends like that typed. Raises `NotFound`, `Invalid`."""
        if source == STDIN:
            self._wants_input = True
            return STDIN
        if is_url(source):
            raise Refused(f"cannot read {source}: a worker reads no addresses of the network", hint="pipe the content into put file")
        below = posixpath.normpath("/" + source).lstrip("/")
        if "\0" in source:
            raise Invalid(f"{source!r} is no path")
        self._send(b"W" if recursive else b"w", os.fsencode(source))
        file, problem = None, b""
        while (frame := receive(self._line))[0] != b"z":
            kind, data = frame
            if kind == b"x":
                problem = data
            elif kind == b"f":
                if file:
                    file.close()
                file = self._new_file(posixpath.join(below, os.fsdecode(data)) if data else below)
            elif kind == b"d" and file:
                file.write(data)
        if file:
            file.close()
        if problem:
            number, _, words = problem.decode(errors="replace").partition(" ")
            error = cannot_open(source, OSError(int(number) if len(number) < 5 and number.isdecimal() else 0, words))
            error.hint = ""  # it would name a folder of ours
            raise error
        if recursive and file is None:
            os.close(beneath.make_folders(self._root, below))  # an empty folder
        return below or "."

    def _new_file(self, path: str) -> Any:
        parent, _, _ = path.rpartition("/")
        os.close(beneath.make_folders(self._root, parent))
        try:
            return os.fdopen(beneath.create_file(self._root, path), "wb")
        except FileExistsError:  # named twice
            return open(os.devnull, "wb")

    def _send_written(self) -> None:
        """Send the files that the command wrote to where they belong inside the worker."""
        self._send(b"o", os.fsencode(self._target))
        top = Path(_SPOOL)
        if top.is_file():
            self._send_file(beneath.open_file(self._root, _SPOOL), "")
        elif top.is_dir():
            self._send(b"m")
            folder = beneath.open_folder(self._root, _SPOOL)
            for entry in beneath.walk(folder):
                if entry.is_folder:
                    self._send(b"m", os.fsencode(entry.path))
                else:
                    self._send_file(entry.open(), entry.path)
        self._send(b"z")

    def _send_file(self, descriptor: int, name: str) -> None:
        self._send(b"f", os.fsencode(name))
        with os.fdopen(descriptor, "rb") as file:
            while data := file.read(CHUNK):
                self._send(b"d", data)

    # -- streams -------------------------------------------------------------------------------------------------------

    def _send(self, kind: bytes, data: bytes = b"") -> None:
        with self._sending:
            send(self._line, kind, data)

    def _forward(self, descriptor: int, kind: bytes) -> threading.Thread:
        """Send all that is written to a descriptor, until it is closed everywhere."""
        reads, writes = os.pipe()
        os.dup2(writes, descriptor)
        os.close(writes)

        def forward() -> None:
            while data := os.read(reads, CHUNK):
                _or_end(lambda: self._send(kind, data))

        thread = threading.Thread(target=forward, daemon=True)
        thread.start()
        return thread

    def _follow(self) -> None:
        """Read from the caller while the command runs: its standard input, and whether it is still there."""
        if self._reader is not None:
            return
        reads, writes = os.pipe()
        if self._wants_input:
            os.dup2(reads, 0)
            self._send(b"i")
        os.close(reads)

        def read() -> None:
            while True:
                kind, data = _or_end(lambda: receive(self._line))
                try:
                    if kind == b"i":
                        write_all(writes, data)
                    elif kind == b"I":
                        os.close(writes)
                except OSError:  # the command reads no further
                    continue

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()


def find_command(given: Sequence[str]) -> tuple[str, click.Command, list[str]]:
    """The name, the command and the rest of what was typed. Raises `Refused` for what is not for user code."""
    words = list(given)
    while words and words[0] in ROOT_FLAGS and words[0] not in ("-h", "--help"):
        del words[0]
    verb, *rest = words or ["help"]
    if verb in ("-h", "--help"):
        verb = "help"
    if verb in VERBS_ALONE:
        return verb, load(ALONE[verb]), rest
    if verb not in NOUNS:  # the old spelling, list-repo
        verb, _, noun = verb.partition("-")
    else:
        noun, rest = (rest[0], rest[1:]) if rest else ("", [])
    noun = singular(noun)
    if noun not in VERBS.get(verb, ()):
        raise Refused(f"{' '.join([verb, noun]).strip()!r} cannot be asked for inside a worker", hint=_OUTSIDE)
    return f"{verb} {noun}", load(NOUNS[verb][noun]), rest


def _or_end(do: Callable[[], Any]) -> Any:
    """Do something that needs the caller; if the caller is gone, end this process, which commits nothing more."""
    try:
        return do()
    except ConnectionClosed:
        os._exit(1)


if __name__ == "__main__":
    main()
