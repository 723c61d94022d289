"""The tree of click commands, built from the table; a module is imported when one of its commands is called."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from importlib import import_module

import click

from local_runner.cli.output import note
from local_runner.cli.successors import DESTRUCTIVE, joined, successor
from local_runner.cli.table import ALONE, HIDDEN, NOUNS, VERBS, singular
from local_runner.cli.unsupported import Elsewhere, elsewhere
from local_runner.errors import Invalid

ROOT_FLAGS = ("-h", "--help", "--no-color", "-v", "--verbose")

_ALL_NOUNS = frozenset(noun for verb, nouns in NOUNS.items() for noun in nouns if verb not in ("config", "image", "search"))

_SETTINGS = {"help_option_names": ["-h", "--help"]}


class VerbGroup(click.Group):
    """A verb such as `list`. Alone it prints its help, as pachctl's do; with a noun it has not, it fails."""

    def __init__(self, name: str, nouns: Mapping[str, str]) -> None:
        super().__init__(name, help=VERBS[name], invoke_without_command=True, callback=_print_help, context_settings=_SETTINGS)
        self._nouns = nouns

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._nouns)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        target = self._nouns.get(singular(name))
        return load(target) if target else None

    def _noun_of(self, name: str) -> str:
        """What `in@master` or `in@master:/a` behind the verb names, "" if that is nothing the verb has, or would be destroyed."""
        nouns = ("file",) if ":" in name else ("commit", "file")
        return "" if self.name in DESTRUCTIVE else next((noun for noun in nouns if noun in self._nouns), "")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example of the verb's first noun."""
        first = self.get_command(ctx, self.list_commands(ctx)[0])
        if first is not None:
            first.format_epilog(ctx, formatter)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        found = self.get_command(ctx, name)
        if found is None and "@" in name and (noun := self._noun_of(name)):
            raise Invalid(f'unknown command "{ctx.info_name} {name}"', hint=f"write `{' '.join([str(ctx.info_name), noun, *args])}`")
        if found is None:
            ctx.fail(f'unknown command "{ctx.command_path} {name}"{_nearest(name, self._nouns)}')
        words = f"{ctx.info_name} {singular(name)}"
        today = joined(words, args[1:])
        if today is not None:
            line = " ".join([words, *today])
            raise Invalid(f"REPO COMMIT PATH are one word since Pachyderm 1.9: {' '.join(args[1:4])}", hint=f"write `{line}`")
        return singular(name), found, args[1:]


class NounPage(click.Command):
    """A thing such as `repo`, named without a verb: prints the commands about it, as pachctl's documents do."""

    def __init__(self, noun: str) -> None:
        settings = {**_SETTINGS, "allow_extra_args": True, "ignore_unknown_options": True}
        super().__init__(noun, help=f"Commands about {noun}s.".replace("ss.", "s."), callback=_print_noun, context_settings=settings)
        self._noun = noun

    def verbs(self) -> list[str]:
        return [verb for verb in sorted(NOUNS) if self._noun in NOUNS[verb] and verb not in HIDDEN]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.find_root().command_path, f"VERB {self._noun} ...")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(f"{verb} {self._noun}", _summary(NOUNS[verb][self._noun])) for verb in self.verbs()])


class Root(click.Group):
    """The root command, with all verbs; it also takes the old spelling with a hyphen, `list-repo`."""

    def __init__(self) -> None:
        super().__init__(
            help="Run Pachyderm pipelines on your own machine. Without a command: bring the project here up to date.",
            params=[
                click.Option(["--no-color"], is_flag=True, help="Print without colours."),
                click.Option(["-v", "--verbose"], is_flag=True, hidden=True, expose_value=False),
            ],
            callback=lambda no_color: None,
            context_settings=_SETTINGS,
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS.keys() - HIDDEN)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in ALONE:
            return load(ALONE[name])
        if name in NOUNS:
            return VerbGroup(name, NOUNS[name])
        verb, _, noun = name.partition("-")
        target = NOUNS.get(verb, {}).get(singular(noun))
        return load(target) if target else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, rest = "datum" if args[0] == "datums" else args[0], args[1:]  # the one noun that is a verb, too
        missing = elsewhere(args) or elsewhere(name.split("-"))  # debug-dump was a command of 1.x
        if missing:
            return name, Elsewhere(missing), rest
        now = successor(args)
        if now:
            typed = name if "-" in name or not rest or rest[0].startswith("-") else f"{name} {rest[0]}"
            raise Invalid(f'"{typed}" is not a command here', hint=now)
        if name in ALONE and rest and singular(rest[0]) in NOUNS.get(name, {}):
            return name, VerbGroup(name, NOUNS[name]), rest
        found = self.get_command(ctx, name)
        if found is None and singular(name) in _ALL_NOUNS:
            return singular(name), NounPage(singular(name)), rest
        if found is None:
            from local_runner.cli.here import is_target  # reads specs: only for what is no command

            if is_target(name):
                return "run", load(ALONE["run"]), args
            ctx.fail(f'unknown command "{name}"{_nearest(name, _spellings(name))}')
        today = joined(name, rest) if "-" in name and name not in ALONE else None
        if today is not None:
            words = itertools.takewhile(lambda word: not word.startswith("-"), today)
            note(f"read as `{' '.join([name.replace('-', ' ', 1), *words])}`, as it is written since Pachyderm 1.9")
            rest = today
        return name, found, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table; click would import every module for the first line of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name]) for name in self.list_commands(ctx)])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Example"):
            formatter.write_text(f"{ctx.info_name} list repo")
        formatter.write_paragraph()
        formatter.write_text("`help exit-codes` explains the exit status, `help --all` prints the whole manual.")


def _spellings(name: str) -> list[str]:
    """The commands that a mistyped word may have meant: verbs, or with a hyphen old spellings."""
    if "-" not in name:
        return [*VERBS]
    return [f"{verb}-{noun}" for verb, nouns in NOUNS.items() for noun in nouns]


def _print_help() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _print_noun() -> None:
    """Print the page of a noun; a verb behind it is in the wrong place."""
    ctx = click.get_current_context()
    page = ctx.command
    assert isinstance(page, NounPage)
    if not ctx.args:
        click.echo(ctx.get_help())
        return
    verb = ctx.args[0]
    swapped = f"; did you mean {verb} {page.name}?" if verb in page.verbs() and verb not in DESTRUCTIVE else ""
    ctx.fail(f'unknown command "{page.name} {verb}"{swapped}')


def _summary(target: str) -> str:
    """The first sentence of a command's help."""
    return load(target).get_short_help_str(100)


def load(target: str) -> click.Command:
    """The command that a value of the table names."""
    module, _, name = target.partition(":")
    found = getattr(import_module(f"local_runner.cli.commands.{module}"), name)
    assert isinstance(found, click.Command), target
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    """The word nearest in spelling, to put after a message; never one that destroys."""
    known = [word for word in known if word.partition("-")[0] not in DESTRUCTIVE]
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]}?" if found else ""
