"""Short words for the verbs on repos, over the real `Runner`."""

from local_runner.model.refs import BranchRef, CommitRef, parse_branch, parse_commit, parse_file
from local_runner.model.repos import BranchInfo, CommitInfo
from tests.support.lab import Lab


def branch(lab: Lab, name: str, *sources: str, head: str = "") -> BranchRef:
    """Create or change a branch."""
    ref = parse_branch(name)
    lab.repo(str(ref.repo))
    for source in sources:
        lab.repo(str(parse_branch(source).repo))
    lab.runner.create_branch(ref, parse_commit(head) if head else None, [parse_branch(source) for source in sources])
    return ref


def head_branch(lab: Lab, name: str) -> BranchInfo:
    return lab.runner.inspect_branch(parse_branch(name))


def commit(lab: Lab, name: str) -> CommitInfo:
    return lab.runner.inspect_commit(parse_commit(name))


def history(lab: Lab, name: str) -> list[CommitRef]:
    """A commit and its ancestors."""
    query = parse_commit(name)
    return [info.commit for info in lab.runner.list_commit(query.repo, query)]


def paths(lab: Lab, pattern: str) -> list[str]:
    """What a glob finds."""
    query = parse_file(pattern)
    return [info.path for info in lab.runner.glob_file(query.commit, query.path)]
