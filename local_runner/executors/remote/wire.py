"""What an engine and the machine of a worker say to each other, as bytes.

Questions are (verb, details …), and answers ("ok", value) or ("error", class, message, hint). Both are marshalled: only plain values go,
and both ends have one version of Python, which is looked at before anything runs.

    hello                              -> the machine: versions, executor, capabilities
    open engine, request, lease        -> worker id and what it is like, or ("lack", hashes)
    close worker · keep workers        ends a worker · they are still wanted
    follow worker, number, seen, patience, order -> what a command did since `seen`, waited for so long; the first brings the order
    cancel worker, number · kill, poll of a staying command
    lay worker, tree, · look · collect, more · translate
    bring worker, tree -> hashes that lack, tree · lazily worker, folder
    serve worker, program, port · pull, push worker, line, bytes: NextDatum (datum_server.py)
    put draft, hash, offset, block, sum · see path, hash, size, sum: contents (contents.py)
"""

from __future__ import annotations

import marshal
from typing import Any

from local_runner import errors
from local_runner.errors import LocalRunnerError, Unavailable

CHUNK = 4 << 20  # bytes of a content that go in one message
PATIENCE = 5.0  # seconds that `follow` waits for news at most


def question(verb: str, *details: Any) -> bytes:
    return marshal.dumps((verb, *details))


def answer(value: Any) -> bytes:
    return marshal.dumps(("ok", value))


def failure(error: LocalRunnerError) -> bytes:
    return marshal.dumps(("error", type(error).__name__, error.message, error.hint))


def read(message: bytes) -> Any:
    """A question as a tuple, or an order."""
    return marshal.loads(message)


def value_of(message: bytes) -> Any:
    """The value of an answer. Raises the error that it tells of."""
    verb, *details = marshal.loads(message)
    if verb == "ok":
        return details[0]
    name, text, hint = details
    kind = getattr(errors, name, Unavailable)
    raise kind(text, hint=hint) if kind in _PLAIN else Unavailable(text, hint=hint)


_PLAIN = (errors.WorkerLost, errors.DiskFull, errors.Invalid, errors.Refused, Unavailable)
