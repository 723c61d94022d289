import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid, LocalRunnerError, NotFound, PathNotFound
from local_runner.model.ids import directory_hash
from local_runner.model.refs import parse_branch, parse_commit, parse_file, parse_repo
from tests.repos.words import commit, paths
from tests.support.lab import Lab


def put(lab: Lab, *files: tuple[str, str], append: bool = False) -> None:
    """Put files in one change, in this order."""
    lab.repo("data")
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        for path, content in files:
            change.put(path, content.encode(), append=append)


def copy(lab: Lab, source: str, path: str, append: bool = False) -> None:
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        change.copy(parse_file(source), path, append=append)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_put_replaces_and_an_append_adds(lab: Lab) -> None:
    put(lab, ("/a", "1"), ("/a", "2"))
    assert lab.files("data@master") == {"/a": "2"}
    put(lab, ("/a", "3"), ("/b", "4"), ("/a", "5"), append=True)
    assert lab.files("data@master") == {"/a": "235", "/b": "4"}


def test_an_append_over_the_bound_of_small_content_keeps_every_byte(lab: Lab) -> None:
    put(lab, ("/a", "x" * 60_000))
    put(lab, ("/a", "y" * 60_000), append=True)
    assert lab.files("data@master") == {"/a": "x" * 60_000 + "y" * 60_000}


def test_a_plain_path_deletes_a_file_and_a_slash_a_folder(lab: Lab) -> None:
    put(lab, ("/d/x", "1"), ("/d/y", "1"), ("/d.txt", "1"), ("/e", "1"))
    lab.put("data@master", {"/d": None})
    assert sorted(lab.files("data@master")) == ["/d.txt", "/d/x", "/d/y", "/e"]
    lab.put("data@master", {"/d/": None, "/missing": None, "/gone/": None})
    assert sorted(lab.files("data@master")) == ["/d.txt", "/e"]
    lab.put("data@master", {"/": None})
    assert lab.files("data@master") == {}


def test_changes_of_one_stream_happen_in_their_order(lab: Lab) -> None:
    lab.repo("data")
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        change.put("/d/x", b"1")
        change.delete("/d/")
        change.put("/d/y", b"2")
        change.put("/z", b"3")
        change.delete("/z")
    assert lab.files("data@master") == {"/d/y": "2"}


def test_a_stream_that_breaks_off_changes_nothing(lab: Lab) -> None:
    put(lab, ("/a", "1"))

    def broken() -> None:
        with lab.runner.modify_file(parse_commit("data@master")) as change:
            change.put("/a", b"2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert lab.files("data@master") == {"/a": "1"}


@pytest.mark.parametrize("path", ["/a*", "/me@x", "/a (1).txt", "/ü", "/a\nb"])
def test_a_path_no_cluster_would_take_is_refused(lab: Lab, path: str) -> None:
    with pytest.raises(Invalid):
        put(lab, (path, "1"))


def test_a_copy_takes_a_file_or_a_folder_of_any_commit(lab: Lab) -> None:
    put(lab, ("/d/x", "1"), ("/d/e/y", "2"))
    old = lab.head("data@master")
    lab.put("data@master", {"/d/": None})
    copy(lab, f"data@{old.id}:/d", "/back")
    copy(lab, f"data@{old.id}:/d/x", "/file")
    copy(lab, f"data@{old.id}:/nothing", "/nothing")
    assert lab.files("data@master") == {"/back/x": "1", "/back/e/y": "2", "/file": "1"}
    copy(lab, f"data@{old.id}:/d/x", "/file", append=True)
    assert lab.files("data@master")["/file"] == "11"


# -- what cannot be a folder tree --------------------------------------------------------------------------------------


def test_a_file_where_a_folder_is_makes_the_commit_an_error(lab: Lab) -> None:
    put(lab, ("/a", "1"))
    put(lab, ("/a/b", "1"))
    assert "file / directory path collision (/a/b)" in commit(lab, "data@master").error
    with pytest.raises(LocalRunnerError, match="collision"):
        lab.files("data@master")


def test_the_next_commit_builds_on_what_was_before_a_collision(lab: Lab) -> None:
    put(lab, ("/a", "1"))
    put(lab, ("/a/b", "1"))
    put(lab, ("/c", "1"))
    assert lab.files("data@master") == {"/a": "1", "/c": "1"}


def test_a_collision_far_from_what_changed_is_seen_among_many_files(lab: Lab) -> None:
    put(lab, *((f"/{n:04}", "1") for n in range(300)))
    put(lab, ("/0100/x", "1"))
    assert "(/0100/x)" in commit(lab, "data@master").error


def test_replacing_a_file_by_a_folder_in_one_change_is_fine(lab: Lab) -> None:
    put(lab, ("/a", "1"))
    lab.put("data@master", {"/a": None, "/a/b": "1"})
    assert commit(lab, "data@master").error == ""


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(lab: Lab) -> Lab:
    put(lab, ("/a.txt", "1"), ("/d/x", "22"), ("/d/y", "22"), ("/d/e/z", "333"), ("/d.txt", "1"))
    return lab


def test_a_folder_lists_its_children_in_byte_order(tree: Lab) -> None:
    listed = [(info.path, info.size) for info in tree.runner.list_file(parse_file("data@master:/"))]
    assert listed == [("/a.txt", 1), ("/d.txt", 1), ("/d/", 7)]
    assert [info.path for info in tree.runner.list_file(parse_file("data@master:/d/"))] == ["/d/e/", "/d/x", "/d/y"]
    assert [info.path for info in tree.runner.list_file(parse_file("data@master:/d/x"))] == ["/d/x"]
    assert list(tree.runner.list_file(parse_file("data@master:/nowhere"))) == []


def test_a_walk_shows_folders_before_what_they_hold(tree: Lab) -> None:
    walked = [info.path for info in tree.runner.walk_file(parse_file("data@master:/d"))]
    assert walked == ["/d/", "/d/e/", "/d/e/z", "/d/x", "/d/y"]
    with pytest.raises(NotFound, match="does not contain item: /nowhere"):
        list(tree.runner.walk_file(parse_file("data@master:/nowhere")))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/", ["/"]),
        ("/*", ["/a.txt", "/d.txt", "/d/"]),
        ("/d/*", ["/d/e/", "/d/x", "/d/y"]),
        ("/**/z", ["/d/e/z"]),
        ("/*.txt", ["/a.txt", "/d.txt"]),
        ("/{a,d}.txt", ["/a.txt", "/d.txt"]),
        ("/nothing*", []),
    ],
)
def test_a_glob_finds_files_and_folders(tree: Lab, pattern: str, found: list[str]) -> None:
    assert paths(tree, f"data@master:{pattern}") == found


def test_a_folder_has_the_hash_of_its_children_alone(tree: Lab) -> None:
    inspect = tree.runner.inspect_file
    inside = [inspect(parse_file(f"data@master:/d/{name}")).hash for name in ("e", "x", "y")]
    assert inspect(parse_file("data@master:/d")).hash == directory_hash(inside)
    with pytest.raises(PathNotFound, match="file /nowhere not found in default/data@master"):
        inspect(parse_file("data@master:/nowhere"))


def test_get_file_wants_exactly_one_regular_file(tree: Lab) -> None:
    assert b"".join(tree.runner.get_file(parse_file("data@master:/a*"))) == b"1"
    assert b"".join(tree.runner.get_file(parse_file("data@master:/d/e/z"), offset=1)) == b"33"
    for pattern, says in (("/*.txt", "matched multiple files"), ("/d", "non-regular file")):
        with pytest.raises(Invalid, match=says):
            list(tree.runner.get_file(parse_file(f"data@master:{pattern}")))


def test_get_files_gives_folders_with_everything_below_once(tree: Lab) -> None:
    found = {info.path: b"".join(content) for info, content in tree.runner.get_files(parse_file("data@master:/d**"))}
    assert {path: c for path, c in found.items() if not path.endswith("/")} == {
        "/d.txt": b"1",
        "/d/e/z": b"333",
        "/d/x": b"22",
        "/d/y": b"22",
    }


def test_a_diff_shows_files_and_folders_that_differ_from_the_parent(tree: Lab) -> None:
    tree.put("data@master", {"/d/x": "changed", "/a.txt": None, "/n": "1"})
    found = {
        (new.path if new else None, old.path if old else None) for new, old in tree.runner.diff_file(parse_file("data@master:/"), None)
    }
    assert found == {("/", "/"), (None, "/a.txt"), ("/d/", "/d/"), ("/d/x", "/d/x"), ("/n", None)}


def test_an_open_commit_is_read_as_it_is_now(tree: Lab) -> None:
    tree.runner.start_commit(parse_branch("data@master"))
    assert len(tree.files("data@master")) == 5
    tree.put("data@master", {"/new": "1"})
    assert tree.files("data@master")["/new"] == "1"
    assert len(tree.files("data@master^")) == 5


def test_a_reader_may_write_while_it_reads(tree: Lab) -> None:
    for info in tree.runner.list_file(parse_file("data@master:/")):
        tree.put("data@master", {f"/seen{info.path.rstrip('/')}": "1"})
    assert sorted(p for p in tree.files("data@master") if p.startswith("/seen")) == ["/seen/a.txt", "/seen/d", "/seen/d.txt"]


def test_find_commit_names_the_commits_that_changed_a_path(lab: Lab) -> None:
    one = lab.put("data@master", {"/a": "1"})
    lab.put("data@master", {"/b": "1"})
    three = lab.put("data@master", {"/a": "2"})
    found = list(lab.runner.find_commit(parse_file("data@master:/a")))
    assert found == [("found", three, 1), ("found", one, 3), ("last", one, 3)]
    assert [info.commit for info in lab.runner.file_history(parse_file("data@master:/a"))] == [three, one]


NAMES = st.lists(st.sampled_from(["a", "b", "a.txt", "ab"]), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=40, deadline=None)
@given(paths=st.sets(NAMES, max_size=8), folder=st.just("/") | NAMES, after=st.just("") | NAMES | NAMES.map("{}/".format))
def test_a_list_from_a_path_on_is_the_rest_of_the_whole_list(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], folder: str, after: str
) -> None:
    lab = Lab(tmp_path_factory.mktemp("home"))
    files = [path for path in paths if not any(other.startswith(path + "/") for other in paths)]
    put(lab, *((path, path) for path in files))
    file = parse_file(f"data@master:{folder}")
    whole = list(lab.runner.list_file(file))
    assert list(lab.runner.list_file(file, after)) == [info for info in whole if info.path > after]
    lab.close()


def test_who_reads_a_large_content_slowly_holds_back_nobody(lab: Lab) -> None:
    """What he reads stays, even when its commit is gone and the room it took is given back."""
    content = bytes(range(256)) * (3 << 12)
    lab.put("data@master", {"/large": content})
    reader = lab.runner.get_file(parse_file("data@master:/large"))
    first = next(reader)
    lab.runner.delete_repo(parse_repo("data"), force=True)
    assert lab.runner.gc()
    assert not list((lab.runner.home / "objects").glob("*/*"))
    assert first + b"".join(reader) == content
