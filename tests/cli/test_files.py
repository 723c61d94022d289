"""Files by command: put, get, list, copy, compare, delete."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from local_runner.cli.sources import targets


@pytest.fixture
def tree(pachctl):
    """A repo `data`, and a local folder `tree` with `a` and `d/b`."""
    Path("tree/d").mkdir(parents=True)
    Path("tree/a").write_text("a\n")
    Path("tree/d/b").write_text("b\n")
    pachctl.ok("create repo data")
    return pachctl


def paths(pachctl, pattern="data@master:/**"):
    return [found["file"]["path"] for found in pachctl.ok("glob file --raw", pattern).documents]


@pytest.mark.parametrize(
    ("path", "sources", "flags", "expected"),
    [
        ("", ["x/one"], (False, False), ["/one"]),
        ("", ["x/one"], (False, True), ["/x/one"]),
        ("", ["x/tree/"], (True, False), ["/tree"]),
        ("/", ["x/one"], (False, False), ["/one"]),
        ("/", ["x/tree"], (True, False), ["/"]),
        ("/d/", ["x/one"], (False, False), ["/d/one"]),
        ("/d", ["x/one"], (False, False), ["/d"]),
        ("d", ["x/one"], (False, False), ["/d"]),
        ("/d", ["x/one", "two"], (False, False), ["/d/one", "/d/two"]),
        ("/d", ["x/one"], (True, True), ["/d/x/one"]),
        ("/../../up", ["x/one"], (False, False), ["/up"]),
        ("../up", ["x/one"], (False, False), ["/../up"]),
        ("", ["../one"], (False, True), ["/../one"]),
        ("", ["."], (True, False), ["/"]),
        ("", ["http://host/a/b.csv"], (False, False), ["/b.csv"]),
        ("", ["http://host/a/b.csv"], (False, True), ["/a/b.csv"]),
        ("/s", ["-"], (False, False), ["/s"]),
    ],
)
def test_where_a_source_is_put_follows_from_the_path_and_the_flags(path, sources, flags, expected):
    recursive, full_path = flags
    assert [target for target, _ in targets(path, sources, recursive, full_path)] == expected


def test_a_path_that_leads_out_of_the_repo_is_refused(pachctl):
    pachctl.ok("create repo data")
    refused = pachctl("put file data@master:../up", stdin="a")
    assert (refused.status, "relative file paths are not allowed" in refused.err) == (2, True)


def test_a_folder_is_put_with_all_that_is_below_it(tree):
    tree.ok("put file data@master:/ -r -f tree")
    tree.ok("put file data@master -r -f tree")
    assert paths(tree) == ["/a", "/d/", "/d/b", "/tree/", "/tree/a", "/tree/d/", "/tree/d/b"]


def test_several_sources_make_one_commit(tree):
    tree.ok("put file data@master:/x -f tree/a -f tree/d/b")
    Path("names").write_text("tree/a\ntree/d/b\n\n")
    tree.ok("put file data@master:/y -i names")
    tree.ok("put file data@master:/z -f tree/a,tree/d/b")
    assert [path for path in paths(tree) if not path.endswith("/")] == ["/x/a", "/x/b", "/y/a", "/y/b", "/z/a", "/z/b"]
    assert len(tree.ok("list commit data@master --raw").documents) == 3


def test_standard_input_is_put_under_a_name_that_must_be_given(tree):
    tree.ok("put file data@master:/x", stdin="hello\n")
    assert tree.ok("get file data@master:/x").out == "hello\n"
    refused = tree("put file data@master", stdin="hello\n")
    assert (refused.status, refused.err.splitlines()[0]) == (2, "must specify filename when reading data from stdin")


def test_a_file_is_replaced_unless_it_is_appended_to(tree):
    for text in ("1\n", "2\n"):
        tree.ok("put file data@master:/x", stdin=text)
    tree.ok("put file -a data@master:/x", stdin="3\n")
    assert tree.ok("get file data@master:/x").out == "2\n3\n"
    assert tree.ok("get file data@master:/x --offset 2").out == "3\n"
    assert tree.ok("get file data@master^2:/x").out == "1\n"


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("put file data@master:/x -f nope", 4, 'could not open path "nope": no such file or directory'),
        ("put file data@master -f tree", 2, "read tree: is a directory"),
        ("put file nope@master:/x -f tree/a", 4, "repo default/nope not found"),
        ("put file data:/x -f tree/a", 2, "\"data:/x\" does not say which commit of 'data:/x' is meant"),
        ("put file data@master:/x -f s3://bucket/a", 1, "cannot read s3 URLs: s3://bucket/a"),
        (
            "put file data@master:/x --target-file-datums 2 -f tree/a",
            2,
            "--target-file-datums, --target-file-bytes and --header-records need --split",
        ),
        ("put file data@nope^:/x -f tree/a", 1, "default/data@nope^1 has already finished, if it is there at all"),
        ("get file data@master:/d -r", 2, "an output path needs to be specified when using the --recursive flag"),
        ("get file data@master.-1:/n", 2, None),
        ("list file data@master:/ --history some", 2, 'error parsing history flag: "some"'),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tree, command, status, message):
    ended = tree(command)
    first, *hint = ended.err.splitlines()
    assert ended.status == status
    assert first == message or (message is None and "invalid ancestry format" in first)
    assert all(line.startswith("hint: ") for line in hint)
    assert len(hint) <= 1


def test_nothing_is_put_if_one_source_is_missing(tree):
    assert tree("put file data@master -f tree/a -f nope").status == 4
    assert tree.ok("list commit data --raw").documents == []


def test_archives_are_unpacked_by_the_names_inside(tree):
    with tarfile.open("good.tar.gz", "w:gz") as archive:
        archive.add("tree/a", "a")
        archive.add("tree/d", "d")
    with tarfile.open("bad.tar", "w") as archive:
        archive.add("tree/a", "./a")
    tree.ok("put file data@master --untar -f good.tar.gz")
    assert paths(tree) == ["/a", "/d/", "/d/b"]
    refused = tree("put file data@master --untar -f bad.tar")
    assert refused.status == 2
    assert "relative file paths are not allowed" in refused.err
    Path("no.tar").write_text("no")
    assert tree("put file data@master --untar -f no.tar").status == 2


def test_a_split_file_is_a_folder_of_records_that_can_be_added_to(tree):
    tree.ok("put file data@master:/rows --split line --target-file-datums 2", stdin="1\n2\n3\n")
    tree.ok("put file data@master:/rows --split line -a", stdin="4")
    assert paths(tree, "data@master:/rows/*") == [f"/rows/{n:016x}" for n in range(3)]
    assert tree.ok("get file data@master:/rows/0000000000000000").out == "1\n2\n"
    assert tree.ok("get file data@master:/rows/0000000000000002").out == "4"
    tree.ok("put file data@master:/rows/zz", stdin="?")
    assert "is not named by a split" in tree("put file data@master:/rows --split line -a", stdin="5\n").err


def test_header_records_are_repeated_in_every_file(tree):
    tree.ok("put file data@master:/rows --split csv --header-records 1", stdin="h,i\n1,2\n3,4\n")
    assert paths(tree, "data@master:/rows/*") == [f"/rows/{n:016x}" for n in range(2)]
    assert tree.ok("get file data@master:/rows/0000000000000001").out == "h,i\n3,4\n"


def test_a_folder_is_got_whole(tree):
    tree.ok("put file data@master:/ -r -f tree")
    tree.ok("get file data@master:/d -r -o down")
    tree.ok("get file data@master:/ -r -o all")
    tree.ok("get file data@master:/a -r -o single")
    assert Path("down/b").read_text() == "b\n"
    assert (Path("all/a").read_text(), Path("all/d/b").read_text()) == ("a\n", "b\n")
    assert Path("single").read_text() == "a\n"


def test_a_file_that_is_not_there_leaves_none_behind(tree):
    tree.ok("put file data@master:/ -r -f tree")
    assert tree("get file data@master:/nope -o got").status == 4
    assert not Path("got").exists()


def test_a_download_can_be_resumed(tree):
    tree.ok("put file data@master:/x", stdin="0123456789")
    Path("got").write_text("0123")
    tree.ok("get file data@master:/x -o got --retry")
    assert Path("got").read_text() == "0123456789"


def test_files_are_listed_with_bare_tabs(tree):
    tree.ok("put file data@master:/ -r -f tree")
    assert tree.ok("list file data@master").out == "SIZE   \tNAME\n2B\t/a\n2B\t/d/\n"
    assert tree.ok("list file data@master:/nope").out == "SIZE   \tNAME\n"
    assert tree.ok("inspect file data@master:/a").lines == ["Path: /a", "Datum: default", "Type: file", "Size: 2B"]
    assert tree.ok("inspect file data@master:/d").lines == ["Path: /d/", "Datum:", "Type: dir", "Size: 2B"]
    found = tree.ok("list file data@master:/a --raw").document
    assert (found["file"]["path"], found["file_type"], found["size_bytes"]) == ("/a", "FILE", "2")


def test_a_list_that_fails_has_its_header_but_a_glob_has_not(tree):
    for command, shown in (
        ("list file nope@master", "SIZE   \tNAME\n"),
        ("list file data", "SIZE   \tNAME\n"),
        ("glob file nope@master:/*", ""),
    ):
        ended = tree(command)
        assert (ended.status != 0, ended.out) == (True, shown)
    assert tree("list file nope@master --raw").out == ""


def test_the_versions_of_a_file_are_its_history(tree):
    for text in ("1", "22"):
        tree.ok("put file data@master:/x", stdin=text)
    rows = tree.ok("list file data@master:/x --history all").lines
    assert rows[0] == "COMMIT NAME TYPE COMMITTED SIZE"
    assert [row.split()[-1] for row in rows[1:]] == ["2B", "1B"]


def test_files_are_copied_and_deleted(tree):
    tree.ok("put file data@master:/ -r -f tree")
    tree.ok("create repo other")
    tree.ok("copy file data@master:/d other@master:/e")
    assert paths(tree, "other@master:/**") == ["/e/", "/e/b"]
    tree.ok("delete file data@master:/d")
    assert "/d/" in paths(tree)
    tree.ok("delete file -r data@master:/d")
    assert paths(tree) == ["/a"]


def test_what_differs_is_listed_or_shown_line_by_line(tree, monkeypatch):
    tree.ok("put file data@master:/ -r -f tree")
    tree.ok("put file data@master:/d/b", stdin="changed\n")
    assert tree.ok("diff file data@master --name-only --no-pager").lines == [
        "OP SIZE NAME",
        "+ 10B /",
        "- 4B /",
        "+ 8B /d/",
        "- 2B /d/",
        "+ 8B /d/b",
        "- 2B /d/b",
    ]
    shown = tree.ok("diff file data@master").out
    assert "-b\n+changed\n" in shown
    assert "new/d/b" in shown
    assert tree("diff file data@master --diff-command no-such-program").status == 5
    script = Path("words")
    script.write_text(f"#!{sys.executable}\nimport sys; print(open(sys.argv[1]).read(), open(sys.argv[2]).read())")
    script.chmod(0o755)
    assert tree.ok(f"diff file data@master --diff-command {script.absolute()}").out == "b\n changed\n\n"


def test_a_file_is_deleted_by_the_path_as_it_was_typed(pachctl):
    pachctl.ok("create repo data")
    for path in ("a", "d/b"):
        pachctl.ok(f"put file data@master:/{path}", stdin=path)
    assert pachctl("delete file data@master").status == 2
    assert pachctl("delete file data@master:/d/../a").err.startswith("path (/d/../a) invalid: relative file paths are not allowed")
    pachctl.ok("delete file data@master:a")
    assert [d["file"]["path"] for d in pachctl.ok("list file data@master --raw").documents] == ["/d/"]
    pachctl.ok("delete file -r data@master")
    assert pachctl.ok("list file data@master --raw").documents == []


def test_a_pattern_is_read_to_standard_output_only(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="a")
    assert pachctl.ok("get file data@master:/*").out == "a"
    assert pachctl("get file data@master:/* -o got").status == 4
    assert not Path("got").exists()


def test_a_folder_without_r_is_refused_in_the_words_that_scripts_look_for(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/d/a", stdin="1")
    ended = pachctl("get file data@master:/d")
    assert (ended.status, ended.out) == (2, "")
    assert "Try again with the -r flag" in ended.err
    assert pachctl.ok("get file -r data@master:/d -o back").err == ""
