"""Commands of pachctl that are gone or never came here, each with what does its work today, and the positions their arguments had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from local_runner.cli.table import singular

# The words of a command, nearly all of pachctl 1.0 to 1.13 -> what to write now. Each line in backquotes is a command line of this runner.
SUCCESSORS: Mapping[str, str] = {
    "archive all": "commits cannot be archived any more, and need not be",
    **{
        f"deploy {where}": "this runner needs no cluster: begin with `create repo NAME`"
        for where in ("amazon", "aws", "azure", "custom", "gcp", "google", "ide", "local", "microsoft")
    },
    "deploy storage": "this runner needs no storage but its home: begin with `create repo NAME`",
    "deploy export-image": "it served the deployment of a cluster, and has no successor",
    "deploy import-image": "it served the deployment of a cluster; write `image load FILE` for an image that pipelines use",
    "deploy list-image": "it served the deployment of a cluster; write `image list` for the images that are here",
    "export image": "it served the deployment of a cluster, and has no successor",
    "extract": "the home is one folder: copy it while no command runs",
    "extract cluster": "the home is one folder: copy it while no command runs",
    "extract pipeline": "write `list pipeline --spec`",
    "flush commit": "write `wait commit REPO@BRANCH` for one commit, `wait job ID` for all jobs that the commit of an id causes",
    "flush job": "write `wait job PIPELINE@ID` for one job, `wait job ID` for all that the commit of an id causes",
    "get log": "write `logs -p PIPELINE`",
    "get object": "objects cannot be got alone; write `get file REPO@BRANCH:/PATH`",
    "get tag": "objects cannot be got alone; write `get file REPO@BRANCH:/PATH`",
    "put header": "write the header into each record's file, or `put file --split`",
    "restore": "the home is one folder: put the copy back in its place",
    "set branch": "write `create branch REPO@BRANCH --head COMMIT`",
    "undeploy": "there is no cluster to take down",
    "update dash": "there is no dashboard here; `status` says how things stand",
    "create job": "a job is made by each commit: write `create pipeline -f SPEC`",
    "fork commit": "write `create branch REPO@NEW --head REPO@COMMIT`",
    "migrate": "write nothing: there is no cluster whose data would have to be moved",
    "put footer": "write the footer into each record's file, or `put file --split`",
    "replay commit": "write `copy file REPO@COMMIT:/PATH REPO@BRANCH:/PATH`",
    "create snapshot": "the home is one folder: copy it while no command runs",
    "delete snapshot": "snapshots are not kept here; the home is one folder",
    "inspect snapshot": "snapshots are not kept here; the home is one folder",
    "list task": "write `list job`: tasks are pieces of jobs that a cluster hands out",
    "list snapshot": "snapshots are not kept here; the home is one folder",
}

# Verbs that suggestions never lead to, since they destroy.
DESTRUCTIVE = frozenset({"delete", "squash", "gc", "garbage-collect", "stop", "rm"})

# How many words each command of 1.x had before its flags: REPO COMMIT, REPO COMMIT PATH, or that twice.
_POSITIONS: Mapping[str, tuple[int, ...]] = {
    **{f"{verb} file": (2, 3) for verb in ("put", "get", "list", "glob", "inspect", "delete")},
    **{f"{verb} commit": (2,) for verb in ("start", "finish", "inspect", "list", "subscribe")},
    **{f"{verb} branch": (2,) for verb in ("create", "inspect", "delete")},
    "copy file": (6,),
    "diff file": (3, 6),
}


def successor(words: Sequence[str]) -> str | None:
    """What does today the work of the 1.x command that a line begins with, in words; None if it is none of those."""
    if not words:
        return None
    verb, hyphen, noun = words[0].partition("-")
    typed = [verb, noun] if hyphen else list(words[:2])
    pairs = (" ".join(typed), " ".join([typed[0], *map(singular, typed[1:])]), "" if hyphen else typed[0])  # `deploy aws` is no plural
    return next((SUCCESSORS[pair] for pair in pairs if pair in SUCCESSORS), None)


def joined(name: str, rest: Sequence[str]) -> list[str] | None:
    """The arguments of a command, `put file` or `put-file`, with REPO COMMIT PATH in one word, as REPO@COMMIT:PATH; None if they are so."""
    verb, _, noun = name.replace("-", " ", 1).partition(" ")
    count = next((index for index, word in enumerate(rest) if word.startswith("-")), len(rest))
    typed = rest[:count]
    if count not in _POSITIONS.get(f"{verb} {singular(noun)}", ()) or any(mark in typed[0] for mark in "@:"):
        return None
    things = [typed[at : at + 3] for at in range(0, count, 3)]
    return [*(f"{repo}@{commit}" + "".join(f":{part}" for part in path) for repo, commit, *path in things), *rest[count:]]
