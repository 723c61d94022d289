"""`help`: help about one command or exit statuses, or the whole manual, of which docs/COMMANDS.md is a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc

import click

from local_runner.cli.app import App, Command, command
from local_runner.cli.main import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, main
from local_runner.cli.table import ALONE, HIDDEN, NOUNS, VERBS
from local_runner.cli.tree import load
from local_runner.cli.unsupported import ELSEWHERE
from local_runner.errors import EXIT_BUSY, EXIT_FAILURE, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, EXIT_USAGE, EXIT_WORK_FAILED, Invalid

EXIT_CODES: Sequence[tuple[int, str]] = (
    (0, "done"),
    (EXIT_FAILURE, "refused in the present state, not possible here, or a bug"),
    (EXIT_USAGE, "wrong usage, or a wrong spec, name or path"),
    (EXIT_WORK_FAILED, "a datum or a job failed"),
    (EXIT_NOT_FOUND, "something named is not there"),
    (EXIT_UNAVAILABLE, "an engine, an executor, a program or a disk is missing or broken"),
    (EXIT_BUSY, "another process works on the home"),
    (EXIT_INTERRUPTED, "Ctrl-C"),
    (EXIT_BROKEN_PIPE, "the reader of the output went away"),
    (143, "SIGTERM"),
)

_CODES_TOPIC = "exit-codes"
_COMMON = ("help", "no_color", "verbose")


@command("help list repo")
@click.argument("words", nargs=-1, metavar=f"[COMMAND | {_CODES_TOPIC}]")
@click.option("--all", "whole", is_flag=True, help="The whole manual, in Markdown.")
def help_(app: App, words: Sequence[str], whole: bool) -> int:
    """Print the help of a command; without one, the list of all."""
    if whole and words:
        raise Invalid("--all goes without a command")
    if whole:
        for line in manual():
            app.out.line(line)
        return 0
    if words == (_CODES_TOPIC,):
        app.out.table(("STATUS", "MEANING"), ((str(code), meaning) for code, meaning in EXIT_CODES))
        return 0
    return main([*words, "--help"])


def manual() -> Iterator[str]:
    """The lines of the user's guide, made from the commands' own help."""
    yield "# Commands"
    yield ""
    yield "Made by `python -m local_runner help --all`; do not edit. `python -m local_runner` stands before every command."
    yield "Every command also takes `--no-color` and `-h`. Answers go to standard output, everything else to standard error."
    yield ""
    yield from _table(("status", "meaning"), ((str(code), meaning) for code, meaning in EXIT_CODES))
    for verb in sorted(VERBS.keys() - HIDDEN):
        nouns = {f"{verb} {noun}": target for noun, target in NOUNS.get(verb, {}).items()}
        alone = {verb: ALONE[verb]} if verb in ALONE else {}
        commands = {name: load(target) for name, target in sorted({**alone, **nouns}.items())}
        yield from ("", f"## {verb}", "", VERBS[verb])
        for name, found in commands.items():
            if not found.hidden:
                yield from _section(name, found)
    yield from ("", "## What pachctl has and this runner has not", "")
    yield from _table(("command", "why not"), sorted(ELSEWHERE.items()))


def _section(name: str, found: click.Command) -> Iterator[str]:
    ctx = click.Context(found, info_name=name, **found.context_settings)
    arguments = [found_ for found_ in found.collect_usage_pieces(ctx) if found_ != "[OPTIONS]"]
    yield from ("", f"### {name}", "", f"`{' '.join([name, *arguments])}`", "")
    yield from (line.rstrip() for line in cleandoc(found.help or "").splitlines())
    records = [param.get_help_record(ctx) for param in found.params if isinstance(param, click.Option) and param.name not in _COMMON]
    options = [(f"`{record[0]}`", record[1]) for record in records if record]
    if options:
        yield ""
        yield from _table(("option", ""), options)
    if isinstance(found, Command):
        yield from ("", f"Example: `{found.example}`")


def _table(head: tuple[str, str], rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "| --- | --- |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
