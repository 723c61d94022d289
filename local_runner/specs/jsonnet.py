"""Specs from jsonnet templates (reference pps 5.3), by the optional binding of Google's own jsonnet."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from local_runner.errors import Invalid, LocalRunnerError, SpecError, Unavailable

_LIMITS = (30, 4 << 30)  # seconds of a processor and bytes that rendering a template may take


def parse_args(texts: Iterable[str]) -> dict[str, str]:
    """Template arguments from `key=value`; a later one wins. Raises `Invalid`."""
    args = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f'invalid template argument "{text}": must have form "key=value"')
        args[key] = value
    return args


def render_jsonnet(text: str, source: str, args: Mapping[str, str], fetch: Callable[[str], str]) -> str:
    """The JSON a template stands for, to be read by `read_documents`: a function is called with `args`, all strings.

    What it imports by an http or https URL, `fetch` gets; clusters take imports from nowhere else. A template may go on for ever: it is
    rendered by a process of its own, which has 30 seconds of a processor and 4 GB.
    Raises `SpecError` for a template or arguments that do not work, and `Unavailable` without the binding.
    """
    if find_spec("_jsonnet") is None:  # an extra; nothing else needs it
        message = "jsonnet templates need the jsonnet library, which is not installed"
        raise Unavailable(message, hint="pip install 'local_runner[jsonnet]'")
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    pipe, env = subprocess.PIPE, os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=env) as server:
        assert server.stdin
        assert server.stdout
        try:
            question = {"text": text, "source": source, "args": dict(args), "limits": _LIMITS}
            answer = _ask(server.stdin, server.stdout, question, fetch)
        except BaseException:
            server.kill()
            raise
    if answer is None and server.returncode > 0:
        raise Unavailable("the jsonnet library cannot be used", hint="try it: python -c 'import _jsonnet'")
    if answer is None:
        message = f"template err: it takes more than {_LIMITS[0]} seconds, or more than {_LIMITS[1] >> 30} GB"
        raise SpecError(message, where=source, hint="look for a loop that does not end")
    if "error" in answer:
        said = " ".join(answer["error"].split())
        raise SpecError(f"template err: {said}", where=source, hint="give it as --arg NAME=VALUE" if "not bound" in said else "")
    return answer["rendered"]


def _ask(to: IO[bytes], answers: IO[bytes], question: Mapping[str, object], fetch: Callable[[str], str]) -> dict[str, str] | None:
    """Talk to the rendering process: fetch its imports, and return its answer, None if it ended without one."""
    with contextlib.suppress(BrokenPipeError):
        _write(to, question)
        for line in answers:
            answer: dict[str, str] = json.loads(line)
            if "import" not in answer:
                return answer
            try:
                _write(to, {"content": fetch(answer["import"])})
            except LocalRunnerError as error:
                _write(to, {"error": error.message})
    return None


def serve() -> None:
    """The other process: one question on standard input, one answer on standard output, each a line of JSON."""
    import resource

    import _jsonnet

    question = json.loads(sys.stdin.buffer.readline())
    seconds, memory = question["limits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with contextlib.suppress(ValueError, OSError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    def imported(folder: str, name: str) -> tuple[str, bytes]:
        if not name.startswith(("http://", "https://")):
            raise RuntimeError(f"{name} cannot be imported: clusters take imports from http(s) only")
        _write(sys.stdout.buffer, {"import": name})
        answer = json.loads(sys.stdin.buffer.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return name, answer["content"].encode()

    try:
        rendered = _jsonnet.evaluate_snippet(question["source"], question["text"], tla_vars=question["args"], import_callback=imported)
    except RuntimeError as error:
        _write(sys.stdout.buffer, {"error": str(error)})
    else:
        _write(sys.stdout.buffer, {"rendered": rendered})


def _write(stream: IO[bytes], line: Mapping[str, object]) -> None:
    stream.write(json.dumps(line).encode() + b"\n")
    stream.flush()
