"""Random histories of a repo against a dict of dicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import parse_branch, parse_commit, parse_file
from local_runner.repos.check import check
from tests.support.lab import Lab

Tree = dict[str, str]
# Files and folders do not share names, so that no history makes a collision: those have tests of their own.
FILES = st.sampled_from(["/a", "/b", "/d/x", "/d/y", "/d/e/z", "/f/x"])
FOLDERS = st.sampled_from(["/d/", "/d/e/", "/f/", "/"])
TEXTS = st.sampled_from([0, 1, 2, 70_000]).map("x".__mul__)
BRANCHES = st.sampled_from(["master", "dev"])
CHANGES = st.lists(
    st.tuples(st.just("put"), FILES, TEXTS)
    | st.tuples(st.just("append"), FILES, TEXTS)
    | st.tuples(st.just("delete"), FILES | FOLDERS, st.just("")),
    max_size=4,
)


def without(tree: Tree, path: str) -> Tree:
    return {name: text for name, text in tree.items() if name != path and not (path.endswith("/") and name.startswith(path))}


class Histories(RuleBasedStateMachine):
    """`commits` are trees by id, `line` the ids of each branch from its root."""

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.lab = Lab(Path(self.folder.name) / "home")
        self.commits: dict[str, Tree] = {}
        self.line: dict[str, list[str]] = {}
        self.lab.repo("data")

    def teardown(self) -> None:
        self.lab.close()
        self.folder.cleanup()

    def head(self, branch: str) -> Tree:
        return dict(self.commits[self.line[branch][-1]]) if self.line.get(branch) else {}

    def note(self, branch: str, tree: Tree) -> None:
        ref = self.lab.head(f"data@{branch}")
        self.commits[ref.id] = tree
        self.line.setdefault(branch, []).append(ref.id)

    def some_commit(self, data: st.DataObject) -> str:
        """Drawn by its place, as ids are different in each run."""
        return list(self.commits)[data.draw(st.integers(0, len(self.commits) - 1))]

    @rule(branch=BRANCHES, changes=CHANGES)
    def change_files(self, branch: str, changes: list[tuple[str, str, str]]) -> None:
        tree = self.head(branch)
        with self.lab.runner.modify_file(parse_commit(f"data@{branch}")) as change:
            for verb, path, text in changes:
                if verb == "delete":
                    change.delete(path)
                    tree = without(tree, path)
                else:
                    change.put(path, text.encode(), append=verb == "append")
                    tree[path] = tree.get(path, "") + text if verb == "append" else text
        self.note(branch, tree)

    @precondition(lambda self: self.commits)
    @rule(branch=BRANCHES, data=st.data(), path=FILES | st.just("/d"))
    def copy_from_any_commit(self, branch: str, data: st.DataObject, path: str) -> None:
        source = self.some_commit(data)
        with self.lab.runner.modify_file(parse_commit(f"data@{branch}")) as change:
            change.copy(parse_file(f"data@{source}:{path}"), "/copied" + path)
        found = {name: text for name, text in self.commits[source].items() if name == path or name.startswith(path + "/")}
        self.note(branch, {**self.head(branch), **{"/copied" + name: text for name, text in found.items()}})

    @precondition(lambda self: self.line)
    @rule(data=st.data(), branch=BRANCHES)
    def move_a_branch(self, data: st.DataObject, branch: str) -> None:
        source = data.draw(st.sampled_from(sorted(self.line)))
        self.lab.runner.create_branch(parse_branch(f"data@{branch}"), parse_commit(f"data@{source}"))
        self.line[branch] = list(self.line[source])

    @precondition(lambda self: self.commits)
    @rule(data=st.data())
    def squash(self, data: st.DataObject) -> None:
        doomed = self.some_commit(data)
        has_children = any(doomed in line[:-1] for line in self.line.values()) or self._is_parent(doomed)
        try:
            self.lab.runner.squash_commit_set(doomed)
        except LocalRunnerError:
            assert not has_children
            return
        assert has_children
        del self.commits[doomed]
        self.line = {branch: [c for c in line if c != doomed] for branch, line in self.line.items()}
        for branch, line in self.line.items():
            if not line:  # its only commit had children on other branches: it has a new, empty one now
                self.note(branch, {})

    def _is_parent(self, commit: str) -> bool:
        return bool(self.lab.runner.inspect_commit(parse_commit(f"data@{commit}")).children)

    @rule()
    def open_it_anew(self) -> None:
        if hasattr(self, "lab"):
            self.lab.close()
            self.lab = Lab(Path(self.folder.name) / "home")

    @invariant()
    def every_commit_reads_as_it_was_written(self) -> None:
        for commit, tree in self._initialized():
            assert self.lab.files(f"data@{commit}") == tree
        for branch, line in getattr(self, "line", {}).items():
            assert self.lab.head(f"data@{branch}").id == line[-1]

    @invariant()
    def the_store_is_sound(self) -> None:
        if hasattr(self, "lab"):
            with self.lab.runner.database.read() as session:
                assert check(session) == []

    def _initialized(self) -> Iterator[tuple[str, Tree]]:
        yield from getattr(self, "commits", {}).items()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
