"""`completion`: complete commands, flags and names in the home for a shell; by scripts of our own, as click's cannot do it.

Click's script for bash passes on words as bash cuts them, at `:` and `@`, and has a blank follow each; the address of a file,
`REPO@BRANCH:/PATH`, is one word, which is completed part by part.

What an argument is, its metavar says: one that is called `REPO@COMMIT:PATH` in the help is completed as such.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import click

from local_runner.cli.app import App, command
from local_runner.cli.table import ALONE, HIDDEN, NOUNS, VERBS, singular
from local_runner.errors import LocalRunnerError
from local_runner.model.printable import printable
from local_runner.model.refs import SPEC, PipelineRef, parse_commit, parse_repo

if TYPE_CHECKING:
    from local_runner.runner import Runner

_IDS = 20  # so many commits or jobs are offered, the newest first
_FILES = 1000

# The shells call back with all words up to the cursor; the one under it comes last. If nothing is found they offer files.
_SCRIPTS: Mapping[str, str] = {
    "bash": """\
_local_runner() {
    local reply
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("$(printf %q "$reply")")
    done < <(PROGRAM completion bash --words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case ${COMPREPLY[0]-} in *[/@:]) compopt -o nospace ;; esac
}
# A file's address is one word.
COMP_WORDBREAKS=${COMP_WORDBREAKS//[@:]/}
complete -o default -F _local_runner local_runner pachctl
""",
    "zsh": """\
#compdef local_runner pachctl
_local_runner() {
    local value text
    local -a whole begun whole_shown begun_shown
    while IFS=$'\\t' read -r value text; do
        if [[ $value == *[/@:] ]]; then
            begun+=("$value") begun_shown+=("$value${text:+  -- $text}")
        else
            whole+=("$value") whole_shown+=("$value${text:+  -- $text}")
        fi
    done < <(PROGRAM completion zsh --words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( $#whole + $#begun )); then
        (( $#whole )) && compadd -l -d whole_shown -- "${(@)whole}"
        (( $#begun )) && compadd -l -S '' -d begun_shown -- "${(@)begun}"
    else
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _local_runner local_runner pachctl
""",
    "fish": """\
function __local_runner
    set -l words (commandline -opc)[2..-1]
    set -l current (commandline -ct)
    set -l found (PROGRAM completion fish --words -- $words "$current" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete -c local_runner -f -a '(__local_runner)'
complete -c pachctl -f -a '(__local_runner)'
""",
}


class Offer(NamedTuple):
    """A completion. One that ends in "/", "@" or ":" can be completed further."""

    value: str
    help: str = ""


@command("completion bash")
@click.argument("shell", type=click.Choice(list(_SCRIPTS)))
@click.option("--words", is_flag=True, hidden=True, help="Print what could stand in place of the last word.")
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
def completion(app: App, shell: str, words: bool, line: Sequence[str]) -> None:
    """Print what makes a shell complete commands and names: bash, zsh or fish.

    In bash and zsh: eval "$(local_runner completion bash)". In fish: local_runner completion fish | source.
    """
    if not words:
        app.out.line(_SCRIPTS[shell].replace("PROGRAM", f"{shlex.quote(sys.executable)} -m local_runner").rstrip("\n"))
        return
    for offer in offers(line or ("",)):
        app.out.line(offer.value if shell == "bash" or not offer.help else f"{offer.value}\t{printable(offer.help, newlines=False)}")


def offers(words: Sequence[str]) -> Iterator[Offer]:
    """The completions of the last word. Opens the home only for names of things in it, and never makes one."""
    *before, current = words
    found = _offers(before, current)
    return (offer for offer in found if offer.value.startswith(current))


def _offers(before: Sequence[str], current: str) -> Iterable[Offer]:
    if not before and not current.startswith("-"):
        return (Offer(name, help) for name, help in VERBS.items() if name not in HIDDEN)
    verb, *rest = before if before and not before[0].startswith("-") else ("run", *before)
    nouns = NOUNS.get(verb, {})
    if not rest and nouns and not current.startswith("-") and verb not in ALONE:
        return map(Offer, nouns)
    found = _command(verb, rest)
    if found is None:
        return ()
    also = map(Offer, nouns) if verb in ALONE and not rest else ()
    return [*also, *_arguments(*found, current)]


def _command(verb: str, rest: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that the words name, and those that are left for it."""
    from local_runner.cli.tree import Root  # only once a command is named

    root = Root()
    ctx = click.Context(root)
    noun = rest[0] if rest else ""
    if singular(noun) in NOUNS.get(verb, {}):
        found = root.get_command(ctx, f"{verb}-{noun}")
        return (found, rest[1:]) if found else None
    found = root.get_command(ctx, verb)
    return (found, rest) if found and not isinstance(found, click.Group) else None


def _arguments(command: click.Command, given: Sequence[str], current: str) -> Iterable[Offer]:
    """The completions of a command's next argument or flag."""
    flags = {name: param for param in command.params if isinstance(param, click.Option) for name in (*param.opts, *param.secondary_opts)}
    positions = [param for param in command.params if isinstance(param, click.Argument)]
    expected: click.Parameter | None = None
    values: dict[str, str] = {}
    at, only_arguments = 0, False
    for word in given:
        if expected is not None:
            values[expected.name or ""] = word
            expected = None
        elif word == "--":
            only_arguments = True
        elif word.startswith("-") and not only_arguments:
            option = flags.get(word)
            expected = option if option is not None and not option.is_flag else None
        elif at < len(positions):
            values[positions[at].name or ""] = word
            at += positions[at].nargs != -1
    if expected is None and current.startswith("-") and not only_arguments:
        shown = (Offer(name, param.help or "") for name, param in flags.items() if not param.hidden)
        return [*shown, Offer("--help", "Show this message and exit.")]
    if expected is None:
        expected = positions[at] if at < len(positions) else None
    if expected is None:
        return ()
    if isinstance(expected.type, click.Choice):
        return map(Offer, map(str, expected.type.choices))
    name = (expected.metavar or expected.name or "").upper()
    if name == "NAME":  # of what, the flag says, or the command: --project NAME, inspect secret NAME
        name = "PROJECT" if "project" in (expected.name or "") else (command.name or "").rpartition("-")[2].upper()
    kind = next((look for pattern, look in _KINDS if re.search(pattern, name)), None)
    return _look(kind, name, values, current) if kind else ()


class _Home(NamedTuple):
    """The names that are in a home, as they may be written in a command."""

    runner: Runner
    project: str
    kind: str
    given: Mapping[str, str]

    def written(self, project: str, name: str) -> str:
        return name if project == self.project else f"{project}/{name}"

    def projects(self, current: str) -> Iterator[Offer]:
        return (Offer(info.name, info.description) for info in self.runner.list_project())

    def repos(self, current: str) -> Iterator[Offer]:
        for info in self.runner.list_repo():
            yield Offer(self.written(info.repo.project, info.repo.name), info.description)

    def pipelines(self, current: str) -> Iterator[Offer]:
        """Names of pipelines, read from their spec repos: listing pipelines would import the spec reader, which takes 25 ms."""
        return (Offer(self.written(info.repo.project, info.repo.name)) for info in self.runner.list_repo(type=SPEC))

    def transactions(self, current: str) -> Iterator[Offer]:
        return (Offer(row.id) for row in self.runner.list_transaction())

    def secrets(self, current: str) -> Iterator[Offer]:
        return (Offer(name) for name, _ in self.runner.list_secret())

    def jobs(self, current: str) -> Iterator[Offer]:
        """ "edges@", then its jobs; or the ids alone, where sets of jobs are meant too."""
        pipeline, at, _ = current.partition("@")
        if at:
            project, _, name = pipeline.rpartition("/")
            ref = PipelineRef(project or self.project, name)
            for info in islice(self.runner.list_job(pipeline=ref), _IDS):
                yield Offer(f"{pipeline}@{info.job.id}", info.state.word)
            return
        if "PIPELINE@" in self.kind:
            yield from (Offer(f"{offer.value}@", offer.help) for offer in self.pipelines(current))
        if re.search(r"(?<!@)JOB-ID", self.kind):
            recent = islice(self.runner.list_job(), _IDS)
            yield from (Offer(id, "all jobs of this id") for id in dict.fromkeys(info.job.id for info in recent))

    def datums(self, current: str) -> Iterator[Offer]:
        job = self.runner.resolve_job(self.given.get("job", ""), self.project)
        for info in islice(self.runner.list_datum(job), _FILES):
            yield Offer(info.datum.id, ", ".join(file.path for file in info.datum.inputs))

    def addresses(self, current: str) -> Iterator[Offer]:
        """ "data@", "data@master", "data@master:/", and then files."""
        repo, at, rest = current.partition("@")
        commit, colon, path = rest.partition(":")
        if not at:
            for offer in self.repos(current):
                yield from [offer] if "REPO[@" in self.kind else []
                yield Offer(f"{offer.value}@", offer.help)
        elif not colon:
            yield from self._commits(repo)
        else:
            yield from self._files(f"{repo}@{commit}", path)

    def _commits(self, repo: str) -> Iterator[Offer]:
        ref = parse_repo(repo, self.project)
        names = [(info.branch.name, "branch") for info in self.runner.list_branch(ref)]
        if "COMMIT" in self.kind:
            names += [(info.commit.id, info.description) for info in islice(self.runner.list_commit(ref), _IDS)]
        for name, help in names:
            if not re.search(r":(PATH|PATTERN)$", self.kind):
                yield Offer(f"{repo}@{name}", help)
            if re.search("PATH|PATTERN", self.kind):
                yield Offer(f"{repo}@{name}:/", help)

    def _files(self, commit: str, path: str) -> Iterator[Offer]:
        # What is typed may be taken as a pattern: no path has any of its signs in it.
        found = self.runner.glob_file(parse_commit(commit, self.project), f"/{path.removeprefix('/')}*")
        slash = "" if path.startswith("/") else "/"
        return (Offer(f"{commit}:{info.path.removeprefix(slash)}") for info in islice(found, _FILES))


_KINDS: Sequence[tuple[str, Callable[[_Home, str], Iterator[Offer]]]] = (
    (r"^\[?REPO\[?@|REPO\[?@", _Home.addresses),
    (r"JOB-ID|^\[?JOB\b", _Home.jobs),
    (r"^\[?DATUM(-ID)?\b", _Home.datums),
    (r"^\[?PIPELINE", _Home.pipelines),
    (r"^\[?REPO\b", _Home.repos),
    (r"^\[?PROJECT\b", _Home.projects),
    (r"^\[?TRANSACTION", _Home.transactions),
    (r"^\[?SECRET\b", _Home.secrets),
)


def _look(look: Callable[[_Home, str], Iterator[Offer]], kind: str, given: Mapping[str, str], current: str) -> list[Offer]:
    """Names from the home, if there is one; without errors and without starting an engine."""
    from local_runner.runner import Runner  # brings the store with it, which neither commands nor flags need

    with suppress(LocalRunnerError, OSError), Runner.open(background=False, create=False) as runner:
        project = given.get("project") or runner.current_project
        return list(look(_Home(runner, project, kind, given), current))
    return []
