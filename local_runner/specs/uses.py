"""Lists the fields that a spec uses, with support and versions, and the outputs that are the same for every datum."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from local_runner.model.pipelines import Transform
from local_runner.specs.check import Document
from local_runner.specs.fields import BY_KEY, HONOURED, MESSAGES, NEWEST, REQUEST, Field, inside
from local_runner.specs.removed import gone

GONE = "removed"  # the treatment of a field that only older versions have

_OUT = PurePosixPath("/pfs/out")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
# What lets a line of a shell run never, more than once or elsewhere, or write to a name that varies.
_UNCERTAIN = re.compile(
    r"[`$(){}*?\[\]~\\&|<;]|['\"]>+['\"]|^\s*(if|for|while|until|case|function|exit|return|exec|eval|trap|source|set|cd|\.)\b", re.M
)


class Use(NamedTuple):
    """A field of a spec by its dotted path, without the places in lists. `since` and `until` are versions of Pachyderm."""

    path: str
    treatment: str
    since: str
    until: str
    why: str

    @property
    def versions(self) -> str:
        """ "2.5 – 2.12"."""
        return f"{self.since} – {self.until}".strip()


def uses(values: Document) -> list[Use]:
    """The fields of a spec in its order, once each; names that no version knows are left out. The spec may have faults."""
    return list({use.path: use for use in _uses(values, Field("", REQUEST, HONOURED, ""), "")}.values())


def _uses(values: Any, parent: Field, prefix: str) -> Iterator[Use]:
    for key, value in values.items() if isinstance(values, dict) else ():
        known = BY_KEY[parent.element].get(key)
        if known is None:
            if removed_field := gone(parent.element, key):
                name, removed = removed_field
                yield Use(prefix + name, GONE, "", removed.until, removed.instead)
            continue
        field = inside(parent, known)
        if field.element in MESSAGES:
            items = value if field.is_list and isinstance(value, list) else [value]
            found = [use for item in items for use in _uses(item, field, f"{prefix}{field.name}.")]
            # A message is no more than its fields, unless it has none, or is itself what is ignored or newer.
            yield from found or [Use(prefix + field.name, field.treatment, field.since, NEWEST, field.why)]
        else:
            yield Use(prefix + field.name, field.treatment, field.since, NEWEST, field.why)


def constant_outputs(transform: Transform) -> list[str]:
    """Paths that every datum which succeeds has certainly written to its output, the same for all: "/report.txt".

    Certain is only what is said by a command that has nothing in it that varies: a `cp`, `tee` or `touch` without flags to a path below
    /pfs/out, or the last line of a shell's script, without variables, patterns or branches, that is redirected to one. What a
    program of the user's own writes is not known before it ran.
    """
    if transform.err_cmd or transform.accept_return_code or not transform.cmd:
        return []  # such a datum may end well without having done its work
    if PurePosixPath(transform.cmd[0]).name not in _SHELLS:
        return _written(transform.cmd)
    match transform.cmd[1:]:
        case ("-c", script):
            lines = script.splitlines()
        case ():
            lines = list(transform.stdin)
        case _:
            return []
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    # Of several lines on standard input, one may be read by the command before it.
    if not lines or (len(lines) > 1 and not transform.cmd[1:]) or _UNCERTAIN.search("\n".join(lines)):
        return []
    try:
        # Without `set -e` the exit status is that of the last line.
        lexer = shlex.shlex(lines[-1], posix=True, punctuation_chars=">")
        lexer.whitespace_split = True
        return _written(list(lexer))
    except ValueError:
        return []


def _written(words: Sequence[str]) -> list[str]:
    """The paths below /pfs/out that a simple command writes if it succeeds."""
    redirected = [at + 1 for at, word in enumerate(words[:-1]) if word in (">", ">>")]
    program, *arguments = [word for at, word in enumerate(words) if at not in redirected and at + 1 not in redirected] or [""]
    targets = [words[at] for at in redirected]
    if not any(word.startswith("-") for word in arguments):
        match PurePosixPath(program).name:
            case "tee" | "touch":
                targets += arguments
            case "cp" if len(arguments) == 2:  # of several files, the last is a folder
                targets += arguments[1:]
    return sorted({f"/{PurePosixPath(path).relative_to(_OUT)}" for path in targets if _is_below_out(path)})


def _is_below_out(path: str) -> bool:
    pure = PurePosixPath(path)
    return not path.endswith("/") and ".." not in pure.parts and _OUT in pure.parents
