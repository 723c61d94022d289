"""A collision is found where something changed, before and after it, just as if the whole tree were looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.model.entries import entry_key, entry_value
from local_runner.model.ids import digest
from local_runner.repos.collisions import first_collision
from local_runner.storage.trees import Root, Trees

VALUE = entry_value(digest(b""), 0)
MANY = [f"/many/{number:02}" for number in range(60)]  # so that few changes are looked at one by one
PATHS = st.sampled_from(["/a", "/a/x", "/a/x/y", "/a.txt", "/b", "/many", "/many/07/x", "/many/07", "/zz"])
KEYS = st.builds(entry_key, PATHS, st.sampled_from(["default", "tag"]))


class _Memory(dict[bytes, bytes]):
    def get_node(self, name: bytes) -> bytes:
        return self[name]

    def put_node(self, name: bytes, content: bytes) -> None:
        self[name] = content


def grown(there: set[bytes], edits: dict[bytes, bytes | None]) -> tuple[Trees, Root, Root]:
    trees = Trees(_Memory())
    base = trees.edit(None, dict.fromkeys((*map(entry_key, MANY), *there), VALUE))
    return trees, base, trees.edit(base, edits)


@pytest.mark.parametrize(("there", "new"), [("/a/x", "/a"), ("/a", "/a/x"), ("/a/x", "/a/x"), ("/many/07", "/many/07/x"), ("/zz/x", "/zz")])
def test_a_new_file_collides_with_its_neighbour_on_either_side(there: str, new: str) -> None:
    trees, base, root = grown({entry_key(there, "one")}, {entry_key(new, "two"): VALUE})
    assert first_collision(trees, base, root)


@given(st.sets(KEYS, max_size=3), st.dictionaries(KEYS, st.sampled_from([VALUE, None]), max_size=3))
def test_looking_at_changes_finds_what_looking_at_everything_finds(there: set[bytes], edits: dict[bytes, bytes | None]) -> None:
    trees, base, root = grown(there, edits)
    if not first_collision(trees, None, base):
        assert bool(first_collision(trees, base, root)) == bool(first_collision(trees, None, root))
