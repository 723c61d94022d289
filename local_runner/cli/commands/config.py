"""Commands about contexts, which on a cluster say where it is: here there is one, `default`, and all it holds is the current project."""

from __future__ import annotations

from collections.abc import Sequence

import click

from local_runner.cli.app import App, command
from local_runner.cli.contexts import CONTEXT, check_context, chosen_context
from local_runner.errors import Invalid, Unsupported
from local_runner.model.names import DEFAULT_PROJECT

_ACTIVE = "active-context"

# What is known, and what else pachctl would keep in a context.
_words = click.argument("words", nargs=-1, metavar=f"[context | {_ACTIVE}] [NAME]")
_CLUSTER_FLAGS = ("--pachd-address", "--cluster-name", "--auth-info", "--server-cas", "--namespace")
_ONLY_PROJECT = f"a context holds only the current project here: config update context {CONTEXT} --project NAME"


@command("config get active-context")
@_words
def get_config(app: App, words: Sequence[str]) -> None:
    """Print the name of the context in use, or what a context holds: the current project."""
    what, name = _read(words)
    if what == _ACTIVE:
        app.out.line(chosen_context())
        return
    check_context(name)
    app.out.documents([{"project": app.runner.current_project}])


@command("config list context")
@_words
def list_config(app: App, words: Sequence[str]) -> None:
    """List contexts; a star marks the one in use."""
    _read(words)
    for line in ("ACTIVE\tNAME", f"E*\t{chosen_context()}"):
        app.out.line(line)


@command("config set active-context default")
@_words
@click.option("--project", "project_name", default=None, metavar="NAME", help="With context: the project that commands use from now on.")
@click.option("--overwrite", is_flag=True, hidden=True, expose_value=False)
def set_config(app: App, words: Sequence[str], project_name: str | None) -> None:
    """Choose the context, of which there is one; others cannot be made, as there is no cluster to be in touch with."""
    what, name = _read(words)
    if what == _ACTIVE:
        if not name:
            raise Invalid("which context?", hint=f"config set active-context {CONTEXT}")
        check_context(name)
    elif project_name is None:
        raise Unsupported("config set context: there is no cluster to be in touch with", hint=_ONLY_PROJECT)
    else:
        app.makes_home = True
        app.runner.set_current_project(project_name or DEFAULT_PROJECT)


@command("config update context --project lab", makes_home=True)
@_words
@click.option("--project", "project_name", default=None, metavar="NAME", help="The project that commands use from now on.")
@click.option("--remove-cluster-deployment-id", is_flag=True, hidden=True, expose_value=False)
def update_config(app: App, words: Sequence[str], project_name: str | None, **cluster: str | None) -> None:
    """Change what the context holds: the current project. Nothing here needs an address of a cluster."""
    _, name = _read(words)
    given = next((flag for flag in _CLUSTER_FLAGS if cluster[flag[2:].replace("-", "_")] is not None), None)
    if given:
        raise Unsupported(f"{given}: there is no cluster to be in touch with", hint=_ONLY_PROJECT)
    check_context(name)
    if not name:
        app.out.line(f'editing the currently active context "{chosen_context()}"')
    if project_name is not None:
        app.runner.set_current_project(project_name or DEFAULT_PROJECT)


for _flag in _CLUSTER_FLAGS:
    update_config.params.append(click.Option([_flag], hidden=True))


def _read(words: Sequence[str]) -> tuple[str, str]:
    """What is meant, `context` or `active-context`, and the name of a context that may follow. Raises `Invalid`."""
    what, name, *more = [*words, *("context", "")[len(words) :]]
    what = what.removesuffix("s")
    if what in ("active-project", "project"):
        raise Invalid(f"config knows nothing of {' '.join(words)}", hint=f"write `config update context --project {name or 'NAME'}`")
    if what not in ("context", _ACTIVE) or more:
        raise Invalid(f"config knows nothing of {' '.join(words)}", hint=f"context or {_ACTIVE}, and the name of one")
    return what, name
