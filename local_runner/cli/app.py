"""How a command is declared, and what each is given: the runner, parsers for references, the output, common flags."""

from __future__ import annotations

import contextlib
import difflib
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from local_runner.cli.output import Output, note, wants_colour
from local_runner.cli.pager import paged
from local_runner.errors import (
    BranchNotFound,
    Invalid,
    LocalRunnerError,
    NotFound,
    PipelineNotFound,
    ProjectNotFound,
    Refused,
    RepoNotFound,
)
from local_runner.model.names import DEFAULT_PROJECT, is_id, is_text
from local_runner.model.refs import (
    BranchRef,
    CommitQuery,
    FileQuery,
    JobRef,
    PipelineRef,
    RepoRef,
    parse_ancestry,
    parse_branch,
    parse_commit,
    parse_file,
    parse_repo,
)

if TYPE_CHECKING:
    from local_runner.runner import Runner

_F = TypeVar("_F", bound=Callable[..., Any])

_LOCAL = frozenset({"--file", "--input", "--input-file", "--output", "--directory"})  # flags that take files of this machine


class WholeNumber(click.ParamType):  # type: ignore[type-arg]  # it has some in newer versions only
    """A whole number from `least` on, up to where the store ends counting."""

    name = "integer"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number: int = click.INT.convert(value, param, ctx)
        if not self._least <= number < 2**63:
            self.fail(f"{str(number)[:20]} is {'below' if number < self._least else 'beyond'} what can be counted", param, ctx)
        return number


_NEVER_MEANT = frozenset({"--all", "--force", "--verbose", "--yes"})  # flags that no suggestion leads to: they destroy, or do nothing

NUMBER, COUNT = WholeNumber(-(2**63)), WholeNumber()

_SHOWN = 200  # characters of a wrong argument in a message


class App:
    """One command's access to the runner, which is opened when it is first asked for and closed with the command.

    `transactional` commands join the active transaction, if there is one; those that can be the first of a home make it.
    """

    def __init__(
        self, out: Output, stack: ExitStack, project: str | None = None, *, transactional: bool = False, makes_home: bool = False
    ) -> None:
        self.out = out
        self._stack = stack
        self._project = project
        self._transactional = transactional
        self.makes_home = makes_home
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            from local_runner.cli.opening import open_runner  # brings the store with it, which no `--help` needs

            engine = _engine_starter()
            self._runner = open_runner(self._stack, makes_home=self.makes_home, transactional=self._transactional, start_engine=engine)
            self._stack.push(_let_go)
        return self._runner

    def say_if_in_transaction(self) -> None:
        """Note once that the command was appended to a transaction."""
        if self._transactional and self._runner is not None and (active := self._runner.active_transaction()):
            self.out.line(f"Added to transaction: {active}")
            self._transactional = False

    @property
    def project(self) -> str:
        """The project of `--project`, else the current one."""
        return self._project or self.runner.current_project or DEFAULT_PROJECT

    def projects(self, everywhere: bool) -> list[str] | None:
        """Which projects a list covers; None for all of them. One there is not has nothing to list, as on a cluster, which is said."""
        if self._project and not everywhere and self._project not in (info.name for info in self.runner.list_project()):
            note(f'there is no project "{self._project}"; `list project` says which there are')
        return None if everywhere else [self.project]

    def repo(self, text: str) -> RepoRef:
        return parse_repo(text, self.project)

    def branch(self, text: str) -> BranchRef:
        branch = parse_branch(text, self.project)
        if is_id(branch.name) or parse_ancestry(branch.name)[0] != branch.name:
            raise Invalid(f'invalid branch "{text}": cannot specify a commit or ancestry', hint="write repo@branch")
        return branch

    def commit(self, text: str) -> CommitQuery:
        if is_id(text):
            raise Invalid("an id alone names commits of several repos", hint='use "list commit <id>" to see all of them')
        commit = parse_commit(text, self.project)
        if not (commit.branch or commit.id):
            raise Invalid(f'"{text}" names a repo, not a commit', hint=f"say which branch or commit: {text.rstrip('@')}@master")
        return commit

    def file(self, text: str, project: str | None = None) -> FileQuery:
        _check_has_commit(text)
        return parse_file(text, project or self.project)

    def target(self, text: str) -> tuple[CommitQuery, str]:
        """A commit and a path as typed, "" without one: where files are put, "" and "/" and a slash at the end mean different things."""
        _check_has_commit(text)
        commit, _, path = text.partition(":")
        return parse_commit(commit, self.project), path

    def pipeline(self, text: str) -> PipelineRef:
        project, _, name = text.rpartition("/")
        if not name:
            raise Invalid("pipeline name cannot be empty", hint="`list pipeline` says which there are")
        now = parse_ancestry(name)[0]
        if now != name:
            raise Invalid(f'"{text}": pipelines have versions, not ancestors', hint=f"write {now} and, to list what was, --history all")
        return PipelineRef(project or self.project, name)

    def job(self, text: str) -> JobRef:
        if is_id(text):
            raise Invalid("an id alone names jobs of several pipelines", hint='use "list job <id>" to see all of them')
        pipeline, at, job = text.partition("@")
        if not (pipeline and at and job):
            raise Invalid(f'invalid format "{text}": expected pipeline@job-id', hint="`list job` shows them so")
        return self.runner.resolve_job(text, self.project)

    def confirm(self, yes: bool) -> bool:
        """Asks on standard error and reads one line of standard input; no answer is no."""
        if yes:
            return True
        sys.stdout.flush()
        sys.stderr.write("Are you sure you want to do this? (y/N): ")
        sys.stderr.flush()
        return sys.stdin.readline()[:1] in ("y", "Y")

    def confirm_loss(self, what: str, yes: bool) -> None:
        """Ask at a terminal before more is lost than was named; scripts are not asked. Raises `Refused`."""
        if yes or not sys.stdin.isatty():
            return
        note(what)
        if not self.confirm(yes):
            raise Refused("nothing was deleted", hint="-y answers beforehand")

    def suggest(self, error: NotFound) -> None:
        """Adds a hint to an error about a name that is nearly one of those there are."""
        if error.hint or self._runner is None:
            return
        with contextlib.suppress(LocalRunnerError):
            name, known = self._names_near(error)
            near = [other for other in known if other.lower() == name.lower()] or difflib.get_close_matches(name, known, 1)
            near = near or [other for other in known if other.endswith(f"/{name}")]
            if near:
                error.hint = f"did you mean {near[0]}?"
                return
        from local_runner.storage.home import find_home, is_made

        if not is_made(find_home()):
            error.hint = f"nothing was made yet: there is no home at {find_home()}"

    def _names_near(self, error: NotFound) -> tuple[str, list[str]]:
        """The name that was not found, and those it may have been meant for; with their project where that is another one."""
        if isinstance(error, RepoNotFound) and isinstance(error.repo, RepoRef):
            refs: list[RepoRef | PipelineRef] = [info.repo for info in self.runner.list_repo()]
            wanted: RepoRef | PipelineRef = error.repo
        elif isinstance(error, PipelineNotFound) and isinstance(error.pipeline, PipelineRef):
            refs, wanted = [info.pipeline for info in self.runner.list_pipeline()], error.pipeline
        elif isinstance(error, BranchNotFound) and isinstance(error.repo, RepoRef):
            return error.branch, [info.branch.name for info in self.runner.list_branch(error.repo)]
        elif isinstance(error, ProjectNotFound):
            return error.project, [info.name for info in self.runner.list_project()]
        else:
            return "", []
        return wanted.name, [ref.name if ref.project == wanted.project else f"{ref.project}/{ref.name}" for ref in refs]


def _let_go(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    """Drop the frames of a traceback, so that half-read lists end before the runner closes."""
    if trace is not None:
        traceback.clear_frames(trace)


def _engine_starter() -> Callable[[Runner], None] | None:
    """What `main` was given to start engines with; None for a process in the background."""
    context = click.get_current_context(silent=True)
    return context.obj if context else None


def _check_has_commit(text: str) -> None:
    repo, at, commit = text.partition("@")
    branch, slash, path = commit.partition("/")
    if branch and slash and ":" not in commit:
        raise Invalid(f'"{text}": a path stands behind a colon', hint=f"write {repo}@{branch}:/{path}")
    if not at or not commit.partition(":")[0]:
        raise Invalid(f'"{text}" does not say which commit of {repo!r} is meant', hint="write repo@branch:/path")


class Command(click.Command):
    """A command with `-h`, an example under its help, and boolean flags that also take `=true` and `=false`, as pachctl's do."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Example"):
            formatter.write_text(f"{ctx.find_root().info_name} {self.example}")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags = {name: param for param in self.params if isinstance(param, click.Option) and param.is_flag for name in param.opts}
        given: list[str] = []
        for arg in args:
            name, _, value = arg.partition("=")
            if name not in flags or value not in ("true", "false"):
                given.append(arg)
            elif value == "true":
                given.append(name)
            else:
                given += flags[name].secondary_opts[:1]
        ctx.allow_extra_args = True  # they are refused below, with a hint
        try:
            rest = super().parse_args(ctx, given)
        except click.NoSuchOption as error:
            raise _known_flag(ctx, error) from None
        if rest and not ctx.resilient_parsing:
            from local_runner.cli.extras import extra_words

            typed = self.example.split()
            words = typed[0] if ctx.info_name == typed[0] else " ".join(typed[:2])
            message, hint = extra_words(words, self, args, rest)
            raise Invalid(message, hint=hint)
        for param in self.params:
            _check_text(param, ctx.params.get(param.name or ""))
        return rest


def _known_flag(ctx: click.Context, error: click.NoSuchOption) -> Exception:
    """The error for a flag there is not: with its successor, if earlier versions had it, or one of like spelling that does as much."""
    from local_runner.cli.gone_flags import gone_flag  # for what failed only

    typed = ctx.command.example.split() if isinstance(ctx.command, Command) else []
    for words in (" ".join(typed[:2]), *typed[:1]):
        now = gone_flag(words, error.option_name)
        if now:
            return Invalid(f"{error.option_name} is no flag of `{words}` any more", hint=now)
    near = [name for name in error.possibilities or () if name not in _NEVER_MEANT]
    return click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx)


def _check_text(param: click.Parameter, value: object) -> None:
    """Names, patterns and words are UTF-8; only what names something on this machine may be any bytes. Raises `Invalid`."""
    if _LOCAL.isdisjoint(param.opts):
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not is_text(text):
                raise Invalid(f"{param.human_readable_name} is no UTF-8 text: {text!a}"[:_SHOWN])


def command(
    example: str, *, transactional: bool = False, hidden: bool = False, waits: bool = False, makes_home: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command. The function gets an `App`, which takes the common flags, and its own flags.

    One that `waits` leaves work to an engine, and with `--wait` stays until that is done. One that `makes_home` may be the first to write:
    it needs nothing that is there. All others find an empty home where none is, and leave nothing behind.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def run(**given: Any) -> Any:
            with ExitStack() as stack:
                app = App(_output(given), stack, given.pop("project", None), transactional=transactional, makes_home=makes_home)
                stack.enter_context(paged(not given.pop("no_pager", True)))
                stays = given.pop("wait", False) if waits else False
                try:
                    result = function(app, **given)
                except NotFound as error:
                    app.suggest(error)
                    raise
                app.say_if_in_transaction()
                if stays:
                    from local_runner.cli.run_summary import wait_for_jobs

                    wait_for_jobs(app.runner, app.runner.changed)
                return result

        option = click.option("--no-color", is_flag=True, help="Print without colours.")
        quiet = click.option("-v", "--verbose", is_flag=True, hidden=True, expose_value=False)
        if waits:
            run = click.option("--wait", is_flag=True, help="Wait until the jobs this causes have ended; fail if one fails.")(run)
        return click.command(cls=Command, example=example, hidden=hidden)(option(quiet(run)))

    return declare


def _output(given: dict[str, Any]) -> Output:
    """Takes the flags that shape output out of `given`. Raises `Invalid` if they contradict each other."""
    raw, form = given.pop("raw", False), given.pop("output_format", None)
    if form and not raw and not given.get("spec"):
        raise Invalid("cannot set --output (-o) without --raw")
    plain = given.pop("no_color", False) or click.get_current_context().find_root().params.get("no_color")
    times = given.pop("full_timestamps", False)
    return Output(raw, form == "yaml", times, wants_colour() and not plain, terminal=sys.stdout.isatty())


def in_project(function: _F) -> _F:
    return click.option("--project", metavar="NAME", help="The project; by default the current one.")(function)


def everywhere(function: _F) -> _F:
    return click.option("-A", "--all-projects", is_flag=True, help="All projects, not only one.")(function)


def asks(function: _F) -> _F:
    """Decorates commands that ask for confirmation: adds the flag -y."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")(function)


def raw_output(function: _F) -> _F:
    form = click.option(
        "-o",
        "--output",
        "output_format",
        type=click.Choice(["json", "yaml"], case_sensitive=False),
        help="The format of --raw; by default json.",
    )
    return click.option("--raw", is_flag=True, help="Print whole documents instead of a table.")(form(function))


def with_times(function: _F) -> _F:
    return click.option("--full-timestamps", is_flag=True, help="Print full times instead of ages.")(raw_output(function))


def comma_list(texts: Sequence[str]) -> list[str]:
    """The parts of flags that may be repeated or hold several values with commas between them."""
    return [part for text in texts for part in text.split(",") if part]
