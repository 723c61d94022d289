"""`deploy` and `pull`: bring a Pachyderm cluster up to date with the project file, and its output back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command
from local_runner.cli.output import note
from local_runner.errors import Invalid, Unavailable
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.refs import CommitQuery, parse_commit
from local_runner.project.file import project_root, read_project

if TYPE_CHECKING:
    from local_runner.deploy.carry_out import Ended
    from local_runner.deploy.cluster import Cluster

_INTO = "cluster"

_project = click.option("--project", "remote", default=DEFAULT_PROJECT, metavar="NAME", help="The project on the cluster.")
_into = click.option("--into", default=_INTO, metavar="PROJECT", help=f"The local project to pull into; by default {_INTO}.")


@command("deploy --to grpc://localhost:30650 --registry localhost:5000 --dry-run", makes_home=True)
@click.option("--to", "address", required=True, metavar="ADDRESS", help="The cluster, as grpc://HOST:PORT.")
@click.option("--registry", default="", metavar="HOST[/PATH]", help="Build the images of [images], push them there, run the pushed ones.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the lines for docker and pachctl that do the same, and do nothing.")
@click.option("--reprocess", is_flag=True, help="Run every datum again, also those that succeeded.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the jobs.")
@click.option("--pull", "pulls", is_flag=True, help="Afterwards pull the output of the pipelines that no other reads.")
@click.option("-C", "--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Run as if started there.")
@_into
@_project
def deploy(
    app: App,
    address: str,
    registry: str,
    dry_run: bool,
    reprocess: bool,
    no_wait: bool,
    pulls: bool,
    directory: Path | None,
    into: str,
    remote: str,
) -> None:
    """Bring a Pachyderm cluster up to date with local_runner.toml: push images, put files, create or update pipelines, wait.

    What is there already stays as it is. A login comes from PACH_TOKEN or from pachctl's configuration.
    """
    from local_runner.deploy.address import whole_address
    from local_runner.deploy.carry_out import check, send, wait
    from local_runner.deploy.cluster import Cluster
    from local_runner.deploy.images import push
    from local_runner.deploy.lines import lines
    from local_runner.deploy.plan import plan
    from local_runner.images.build import find_builder

    if pulls and no_wait:
        raise Invalid("cannot set --pull and --no-wait together", hint="pull later: local_runner pull --from ADDRESS REPO@BRANCH")
    planned = plan(read_project(project_root(directory or Path.cwd())), remote, registry)
    if dry_run:
        for line in lines(planned, whole_address(address), _tool_to_show(), reprocess=reprocess, wait=not no_wait):
            app.out.line(line)
        return
    cluster = Cluster.connect(address)
    if planned.images:
        push(planned.images, find_builder(), note)
    elif not registry:
        note("no image is pushed: the cluster has to find those of the specs by itself; --registry pushes them")
    send(cluster, planned, note, reprocess=reprocess)
    if no_wait:
        return
    ended = wait(cluster, planned.pipelines, note)
    _show(app, ended)
    check(ended)
    if pulls:
        os.chdir(planned.root)  # the home is found from here
        _pull(app, cluster, [CommitQuery(branch.repo, branch.name) for branch in planned.results], into)


@command("pull --from grpc://localhost:30650 select@master", makes_home=True)
@click.option("--from", "address", required=True, metavar="ADDRESS", help="The cluster, as grpc://HOST:PORT.")
@click.argument("commits", metavar="REPO@BRANCH[=ID]", nargs=-1, required=True)
@_into
@_project
def pull(app: App, address: str, commits: Sequence[str], into: str, remote: str) -> None:
    """Bring commits of a Pachyderm cluster here, into repos of the same name in a project of their own."""
    from local_runner.deploy.cluster import Cluster

    queries = [parse_commit(text, remote) for text in commits]
    _pull(app, Cluster.connect(address), queries, into)


def _pull(app: App, cluster: Cluster, queries: Sequence[CommitQuery], into: str) -> None:
    from local_runner.deploy.pull import pull

    for query in queries:
        pulled = pull(app.runner, cluster, query, into, note)
        count = "here already" if pulled.fetched is None else f"{pulled.fetched} file{'s' * (pulled.fetched != 1)} fetched"
        note(f"{pulled.branch}: {count}; {pulled.provenance}")


def _tool_to_show() -> str:
    """The image tool the lines are for: the one at hand, so that they can be pasted; docker where there is none."""
    from local_runner.images.build import find_builder

    try:
        return find_builder().program
    except Unavailable:
        return "docker"


def _show(app: App, ended: Sequence[Ended]) -> None:
    rows = []
    for one in ended:
        counts = one.job.counters
        numbers = (counts.processed + counts.recovered, counts.skipped, counts.failed)
        rows.append((one.pipeline.spec.pipeline.name, *map(str, numbers), one.job.state.word, one.id))
    app.out.table(("PIPELINE", "RUN", "REUSED", "FAILED", "STATE", "JOB"), rows)
