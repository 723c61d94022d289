"""The `input` of a spec: defaults in the cluster's order, checks, the typed form, and back to a document (reference pps 1.1-1.3).

Until it is typed an input is a document in `normal` form with snake_case names, `{"pfs": {…}}` or `{"cross": [{…}, …]}`, where each
node knows under "at" the path at which it stands in the spec.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from local_runner.errors import Invalid, SpecError
from local_runner.model.inputs import Cron, Cross, Group, Input, Join, Pfs, Union
from local_runner.model.names import check_branch, clean_path
from local_runner.model.refs import USER
from local_runner.model.repos import Trigger
from local_runner.model.schedule import parse_schedule
from local_runner.specs.check import Document, integer, normal

Node = dict[str, Any]

# In the order in which the cluster looks for children.
_COMPOSITES: Mapping[str, type[Cross] | type[Join] | type[Group] | type[Union]] = {
    "cross": Cross,
    "join": Join,
    "group": Group,
    "union": Union,
}
_PFS_FIELDS = (
    *("project", "name", "repo", "repo_type", "branch", "glob", "join_on", "outer_join", "group_by"),
    *("lazy", "empty_files", "s3", "reference"),
)
# project/repo@branch:/path, each but the repo optional: how files are named everywhere else.
_REPO = re.compile(r"(?:(?P<project>[\w-]+)/)?(?P<repo>[\w-]+)(?:@(?P<branch>[\w.^-]+))?(?::(?P<path>.+))?", re.ASCII)
_RESERVED = ("out", ".env")
_NO_INPUT_HINT = "give it a pfs, cron, cross, join, group or union"
_S3_REASON = "as 's3' requires input data to be accessed via Pachyderm's S3 gateway rather than the file system"


def parse_input(document: Document, pipeline: str, default_project: str, *, start: str = "") -> Input:
    """The typed input, with defaults but unchecked, as `list datum -f` takes it: without a glob it is "/" (reference pps 1.7).

    `start` (RFC 3339) is when cron inputs begin that do not say. Raises `SpecError` only where there is nothing to type.
    """
    return _typed(_defaulted(document, pipeline, default_project, start))


def input_errors(document: Document, pipeline: str, default_project: str) -> Iterator[SpecError]:
    """The errors of an input: first names, then every node, in the cluster's order and words (reference pps 1.3)."""
    node = _defaulted(document, pipeline, default_project, "")
    yield from _name_errors(node, set())
    yield from _node_errors(node)


def input_document(node: Input) -> dict[str, Any]:
    """The input as `inspect pipeline --raw` shows it: snake_case, defaults filled in, unset fields left out."""
    return normal(_document(node), "Input", snake=True)


def _defaulted(document: Document, pipeline: str, project: str, start: str) -> Node:
    node = _sorted(normal(document, "Input", snake=True), "input")
    return _filled(node, pipeline, project, start, Counter())


def _composite(node: Node) -> str:
    """The kind whose children count in a node, "" for a leaf."""
    return next((kind for kind in _COMPOSITES if kind in node), "")


def _sort_name(node: Node) -> str:
    """The key that sorts a node among its siblings: its explicit name, that of its first child, or "" for a cron input."""
    if "pfs" in node:
        return str(node["pfs"].get("name", ""))
    kind = _composite(node)
    return _sort_name(node[kind][0]) if kind else ""


def _sorted(node: Node, at: str) -> Node:
    """Children by explicit name, innermost first; this comes before names are defaulted (reference pps 1.2)."""
    kind = _composite(node)
    if not kind:
        return {**node, "at": at}
    children = [_sorted(child, f"{at}.{kind}[{index}]") for index, child in enumerate(node[kind])]
    return {**node, "at": at, kind: sorted(children, key=_sort_name)}


def _filled(node: Node, pipeline: str, project: str, start: str, triggers: Counter[str]) -> Node:
    """`triggers` counts the trigger branches made so far for each repo."""
    kind = _composite(node)
    if kind:
        node = {**node, kind: [_filled(child, pipeline, project, start, triggers) for child in node[kind]]}
    if "pfs" in node:
        node = {**node, "pfs": _filled_pfs(node["pfs"], pipeline, project, triggers)}
    if "cron" in node:
        cron = node["cron"]
        defaults = {"project": project, "repo": f"{pipeline}_{cron.get('name', '')}", "start": start}
        node = {**node, "cron": {**defaults, **cron}}
    return node


def _filled_pfs(pfs: Node, pipeline: str, project: str, triggers: Counter[str]) -> Node:
    repo = pfs.get("repo", "")
    pfs = {"project": project, "name": repo, "repo": repo, "repo_type": USER, "glob": "", **pfs}
    if pfs["glob"]:
        pfs["glob"] = clean_path(pfs["glob"])
    if "branch" not in pfs and "trigger" in pfs:
        triggers[repo] += 1
        pfs["branch"] = f"{pipeline}-trigger-{triggers[repo]}"
        pfs["trigger"] = {"branch": "master", **pfs["trigger"]}
    return {"branch": "master", **pfs}


def _name_errors(node: Node, used: set[str]) -> Iterator[SpecError]:
    """Adds the names of a node to those used around it. Children of a union may share names with each other only."""
    # A node without "at" stands in the second of two composites of one node, which is refused later if not here.
    at = node.get("at", "input")
    if "pfs" in node or "cron" in node:
        name = node["pfs" if "pfs" in node else "cron"].get("name", "")
        if not name:
            yield SpecError("input must specify a name", field=at, hint="a pfs input needs a repo, a cron input a name")
        elif name in _RESERVED:
            yield SpecError(f"input cannot be named {name}", field=at, hint="give it another `name`")
        elif name in used:
            yield SpecError(f'name "{name}" was used more than once', field=at, hint="give each of them a `name` of its own")
        used.add(name)
    elif "union" in node:
        alternatives = [set(used) for _ in node["union"]]
        for child, names in zip(node["union"], alternatives, strict=True):
            yield from _name_errors(child, names)
        used.update(*alternatives)
    else:
        kind = _composite(node)
        for child in node[kind] if kind else ():
            yield from _name_errors(child, used)


def _node_errors(node: Node) -> Iterator[SpecError]:
    """Children first, then the node itself."""
    kind, at = _composite(node), node["at"]
    for child in node[kind] if kind else ():
        yield from _node_errors(child)
    if "pfs" in node:
        yield from _pfs_errors(node["pfs"], f"{at}.pfs")
    found = [name for name in ("pfs", *_COMPOSITES, "cron") if name in node]
    if len(found) > 1:
        yield SpecError("multiple input types set", field=at, hint=f"one of {', '.join(found)}; combine inputs with a cross, for instance")
    if not found:
        yield SpecError("no input set", field=at, hint=_NO_INPUT_HINT)
    if kind and kind != "cross" and _has_s3(node):
        yield SpecError(f"S3 inputs in {kind} expressions are not supported", field=at)
    if "cron" in node:
        try:
            parse_schedule(node["cron"].get("spec", ""))
        except Invalid as error:
            yield SpecError(f"error parsing cron-spec: {error.message}", field=f"{at}.cron.spec", hint=error.hint)


def _pfs_errors(pfs: Node, field: str) -> Iterator[SpecError]:
    s3 = pfs.get("s3")
    if not pfs["repo"]:
        yield SpecError("input must specify a repo", field=f"{field}.repo")
    elif hint := _repo_hint(pfs["repo"]):
        yield SpecError(f"repo {pfs['repo']} not found", field=f"{field}.repo", hint=hint)
    if not s3 and not pfs["glob"]:
        yield SpecError("input must specify a glob", field=f"{field}.glob", hint='"/" is one datum, "/*" one for each file or folder')
    if s3 and pfs["glob"] != "/":
        message = "inputs that set 's3' to 'true' must also set 'glob', to \"/\", as the S3 gateway is only able to expose data at the"
        yield SpecError(f"{message} commit level", field=f"{field}.glob")
    for other in ("lazy", "empty_files"):
        if s3 and pfs.get(other):
            yield SpecError(f"input cannot specify both 's3' and '{other}', {_S3_REASON}", field=f"{field}.{other}")
    if pfs.get("commit"):
        yield SpecError("input cannot come from a commit; use a branch with head pointing to the commit", field=f"{field}.commit")
    try:
        check_branch(pfs["branch"])
    except Invalid as error:
        yield SpecError(
            error.message, field=f"{field}.branch", hint="the name of a branch alone, as in master: the repo has a field of its own"
        )


def _repo_hint(repo: str) -> str:
    """What to write for a repo that is named with its project, its branch or a path; "" for a name a repo may have."""
    found = _REPO.fullmatch(repo)
    if found is None or repo == found["repo"]:
        return ""
    parts = {"project": found["project"], "repo": found["repo"], "branch": found["branch"], "glob": found["path"]}
    return "write " + ", ".join(f'"{name}": "{value}"' for name, value in parts.items() if value)


def _has_s3(node: Node) -> bool:
    kind = _composite(node)
    return bool(node.get("pfs", {}).get("s3")) or any(map(_has_s3, node[kind] if kind else ()))


def _typed(node: Node) -> Input:
    if "pfs" in node:
        return _typed_pfs(node["pfs"])
    kind = _composite(node)
    if kind:
        return _COMPOSITES[kind](tuple(map(_typed, node[kind])))
    if "cron" not in node:
        raise SpecError("no input set", field=node["at"], hint=_NO_INPUT_HINT)
    cron = {key: value for key, value in node["cron"].items() if key != "commit"}
    return Cron(**{"name": "", "spec": "", **cron})


def _typed_pfs(pfs: Node) -> Pfs:
    trigger = pfs.get("trigger")
    return Pfs(
        **{**{name: pfs[name] for name in _PFS_FIELDS if name in pfs}, "glob": clean_path(pfs["glob"])},
        trigger=_typed_trigger(trigger) if trigger is not None else None,
        never_propagates=bool(pfs.get("propagation_spec", {}).get("never")),
    )


def _typed_trigger(trigger: Node) -> Trigger:
    return Trigger(**{"branch": "", **trigger, "commits": integer(trigger.get("commits", 0))})


def _document(node: Input) -> Node:
    if isinstance(node, Cron):
        return {"cron": {name: value for name, value in asdict(node).items() if value}}
    if not isinstance(node, Pfs):
        kind = next(kind for kind, type_ in _COMPOSITES.items() if isinstance(node, type_))
        return {kind: [_document(child) for child in node.children]}
    pfs: Node = {name: getattr(node, name) for name in _PFS_FIELDS}
    if node.trigger:
        pfs["trigger"] = asdict(node.trigger)
    if node.never_propagates:
        pfs["propagation_spec"] = {"never": True}
    return {"pfs": pfs}
