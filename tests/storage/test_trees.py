"""Trees against plain dicts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.entries import entry_key, entry_value
from local_runner.model.ids import digest
from local_runner.storage import trees as module
from local_runner.storage.trees import Root, Totals, Trees

KEYS = st.text("abc/", min_size=1, max_size=4).map(str.encode)
VALUES = st.integers(0, 999).map(lambda n: digest(str(n).encode()) + n.to_bytes(8, "big"))
FEW = settings(max_examples=40)
DICTS = st.dictionaries(KEYS, VALUES, max_size=120)
EDITS = st.dictionaries(KEYS, st.none() | VALUES, max_size=60)


class Memory(dict[bytes, bytes]):
    """Pieces in a dict; counts what is written."""

    written = 0

    def get_node(self, name: bytes) -> bytes:
        return self[name]

    def put_node(self, name: bytes, content: bytes) -> None:
        self.written += 1
        self[name] = content


@pytest.fixture(autouse=True, params=[1, 5], ids=["deep", "as stored"])
def _piece_bits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two entries make a tree of six levels out of a hundred keys, pieces of 32 one of two."""
    monkeypatch.setattr(module, "_BITS", request.param)


def tree(content: dict[bytes, bytes]) -> tuple[Trees, Root]:
    trees = Trees(Memory())
    return trees, trees.build(content.items())


def edited(content: dict[bytes, bytes], edits: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**content, **edits}
    return {key: value for key, value in merged.items() if value is not None}


@FEW
@given(DICTS)
def test_a_tree_holds_what_it_was_built_of_in_order(content: dict[bytes, bytes]) -> None:
    trees, root = tree(content)
    assert list(trees.scan(root)) == sorted(content.items())
    assert all(trees.get(root, key) == value for key, value in content.items())
    assert (root is None) == (not content)


@FEW
@given(DICTS, st.lists(EDITS, max_size=4))
def test_equal_content_has_equal_roots_whatever_its_history(content: dict[bytes, bytes], history: list[dict[bytes, bytes | None]]) -> None:
    trees, root = tree(content)
    for edits in history:
        root, content = trees.edit(root, edits), edited(content, edits)
        assert dict(trees.scan(root)) == content
    assert root == Trees(Memory()).build(content.items())


@FEW
@given(DICTS, EDITS)
def test_a_diff_names_exactly_the_keys_whose_values_differ(content: dict[bytes, bytes], edits: dict[bytes, bytes | None]) -> None:
    trees, old = tree(content)
    after = edited(content, edits)
    new = trees.edit(old, edits)
    expected = [(key, content.get(key), after.get(key)) for key in sorted(content.keys() | after.keys())]
    assert list(trees.diff(old, new)) == [change for change in expected if change[1] != change[2]]


@FEW
@given(DICTS, KEYS, KEYS)
def test_a_scan_and_a_step_back_keep_to_their_bounds(content: dict[bytes, bytes], low: bytes, high: bytes) -> None:
    trees, root = tree(content)
    assert list(trees.scan(root, low, high)) == [(k, v) for k, v in sorted(content.items()) if low <= k < high]
    smaller = [(k, v) for k, v in sorted(content.items()) if k < low]
    assert trees.before(root, low) == (smaller[-1] if smaller else None)


@FEW
@given(DICTS)
def test_the_root_alone_knows_the_totals(content: dict[bytes, bytes]) -> None:
    trees, root = tree(content)
    assert trees.totals(root) == Totals(len(content), sum(int.from_bytes(value[32:], "big") for value in content.values()))


@FEW
@given(DICTS)
def test_the_pieces_of_a_tree_are_all_that_is_needed_to_read_it(content: dict[bytes, bytes]) -> None:
    memory = Memory()
    root = Trees(memory).build(content.items())
    copy = Memory({name: memory[name] for name in Trees(memory).pieces(root)})
    assert dict(Trees(copy).scan(root)) == content


@pytest.fixture(scope="module")
def many() -> dict[bytes, bytes]:
    return {entry_key(f"/data/{n:06}"): entry_value(digest(str(n).encode()), n) for n in range(20_000)}


def test_changing_one_file_of_many_writes_one_piece_a_level(many: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BITS", 5)
    memory = Memory()
    trees = Trees(memory)
    root = trees.build(many.items())
    before, memory.written = sum(map(len, memory.values())), 0
    for n in range(0, 20_000, 1000):
        root = trees.edit(root, {entry_key(f"/data/{n:06}"): entry_value(digest(b"new"), 1)})
    assert memory.written <= 20 * 4
    assert (sum(map(len, memory.values())) - before) / 20 < 24_000


def test_a_diff_of_two_large_trees_reads_only_what_they_do_not_share(many: dict[bytes, bytes]) -> None:
    memory = Memory()
    root = Trees(memory).build(many.items())
    new = Trees(memory).edit(root, {entry_key("/data/010000"): None})
    read: list[bytes] = []

    class Counting(Memory):
        def get_node(self, name: bytes) -> bytes:
            read.append(name)
            return self[name]

    assert len(list(Trees(Counting(memory)).diff(root, new))) == 1
    assert len(read) < len(memory) / 10


def test_nothing_is_remembered_of_a_write_that_was_taken_back() -> None:
    memory = Memory()
    trees = Trees(memory)
    trees.build([(b"a", b"1" * 40)])
    memory.clear()
    trees.forget()
    root = trees.build([(b"a", b"1" * 40)])
    assert root in memory
