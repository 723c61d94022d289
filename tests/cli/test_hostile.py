"""What is given wrong, and where it is read from or written to, ends in words: never in a traceback, never in a wrong success."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local_runner.cli.output import Output
from local_runner.cli.streams import printable, printable_log
from local_runner.runner import Runner

MANY = "9" * 4301  # digits, more than Python reads


@pytest.fixture
def repo(pachctl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    return pachctl


@pytest.mark.parametrize(
    "line",
    [
        f"list commit data@master^{MANY}",
        f"list file data@master~{MANY}",
        f"get file data@master.{MANY}:/a",
        f"list commit data --number {MANY}",
        "list commit data --number -1",
        "list commit data --number 9223372036854775808",
        f"get file data@master:/a --offset {MANY}",
        f"put file data@master:/b --split line --header-records {MANY}",
        "put file data@master:/b --split line --header-records -1",
        "put file data@master:/b --split line --target-file-datums -1",
        "put file data@master:/b --split line --target-file-bytes 1" + "0" * 400,
        f"put file data@master:/b --split line --target-file-bytes {MANY}",
        f"logs -p p --since {MANY}s",
        f"logs -p p --since 1.{MANY}s",
        f"create branch data@b --trigger master --trigger-size {MANY}G",
        f"find commit data@master:/a --limit {MANY}",
        "get file data@master:/\udcff",
        "list file \udcff@master",
        "list repo --project \udcff",
        "create repo \ud800",
        "glob file 'data@master:/\udcff*'",
    ],
)
def test_a_number_too_large_or_text_that_is_no_text_is_refused_by_name(repo, line) -> None:
    ended = repo(line)
    assert ended.status in (2, 4), ended
    assert "internal" not in ended.err
    assert len(ended.err) < 600


def test_a_file_of_this_machine_may_be_called_by_any_bytes(repo) -> None:
    Path(os.fsdecode(b"\xff")).write_text("odd")
    repo.ok("put file data@master:/b -f", "\udcff")
    assert repo.ok("get file data@master:/b").out == "odd"
    ended = repo("put file data@master:/ -f", "\udcff")
    assert ended.status == 2
    assert "only printable ASCII" in ended.err


@pytest.mark.parametrize(
    ("kind", "content"),
    [("json", "[" * 100_000), ("json", '{"a":' * 5000), ("json", "1,"), ("csv", 'a,"b')],
)
def test_records_that_are_none_are_refused_with_their_line(repo, kind, content) -> None:
    ended = repo(f"put file data@master:/rows --split {kind}", stdin=f"\n{content}" if kind == "json" else content)
    assert ended.status in (0, 2)
    if kind == "json":
        assert "line 2" in ended.err


def test_records_may_be_of_any_size(repo) -> None:
    repo.ok("put file data@master:/rows --split csv", stdin=f"a,{'x' * 200_000}\n")
    repo.ok("put file data@master:/numbers --split json", stdin=f"{MANY} 1{MANY}.5 [1e{MANY}]")
    assert len(repo.ok("glob file data@master:/numbers/* --raw").documents) == 3


def run(*words: str, before: str = "", after: str = "", home: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process and a shell of its own, which closes or redirects its streams."""
    line = f'{before} "$0" -m local_runner "$@" {after}'
    env = os.environ | {"LOCAL_RUNNER_HOME": str(home), "PYTHONUNBUFFERED": ""}
    return subprocess.run(["sh", "-c", line, sys.executable, *words], env=env, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("streams") / "home"
    assert run("create", "repo", "data", home=home).returncode == 0
    assert run("put", "file", "data@master:/a", home=home, stdin="x" * 100_000).returncode == 0
    return home


@pytest.mark.parametrize("after", [">&-", "> /dev/full"])
@pytest.mark.parametrize("words", [("list", "repo"), ("get", "file", "data@master:/a"), ("list", "repo", "--raw")])
def test_what_cannot_be_printed_is_a_failure_in_words(home, words, after) -> None:
    ended = run(*words, after=after, home=home)
    assert ended.returncode == 5
    assert ended.stderr.startswith("cannot write to standard output: ")
    assert ended.stderr.count("\n") == 1


def test_a_closed_pipe_is_left_as_other_commands_leave_it(home) -> None:
    ended = run("get", "file", "data@master:/a", before="(", after="; echo $? >&2) | head -c 1", home=home)
    assert ended.stderr == "141\n"


@pytest.mark.parametrize(("words", "status"), [(("list", "repo"), 0), (("inspect", "repo", "nope"), 4), (("nope",), 2)])
@pytest.mark.parametrize("after", ["2>&-", "2> /dev/full"])
def test_whether_somebody_listens_to_errors_changes_nothing(home, words, status, after) -> None:
    ended = run(*words, after=after, home=home)
    assert ended.returncode == status
    assert not ended.stderr
    assert bool(ended.stdout) == (status == 0)


def test_a_closed_input_is_no_empty_file(home) -> None:
    ended = run("put", "file", "data@master:/closed", after="<&-", home=home)
    assert ended.returncode == 2
    assert "standard input" in ended.stderr
    assert run("inspect", "file", "data@master:/closed", home=home).returncode == 4


def test_no_file_of_the_home_becomes_a_standard_stream(home) -> None:
    ended = run("put", "file", "data@master:/b", "-f", "/etc/hostname", after="<&- >&- 2>&-", home=home)
    assert ended.returncode == 0
    assert run("fsck", home=home).returncode == 0


@pytest.mark.parametrize("name", ["PAGER", "EDITOR", "LOCAL_RUNNER_HOME", "LOCAL_RUNNER_EXECUTOR"])
def test_a_variable_that_makes_no_sense_is_named(home, name) -> None:
    env = os.environ | {"LOCAL_RUNNER_HOME": str(home), "LC_ALL": "C.UTF-8"}
    raw = {os.fsencode(key): os.fsencode(value) for key, value in env.items()} | {name.encode(): b"'\xff"}
    command = [sys.executable, "-m", "local_runner", "list", "repo"]
    ended = subprocess.run(command, env=raw, capture_output=True, check=False)
    assert ended.returncode in (0, 2, 5)
    assert b"internal" not in ended.stderr
    assert name.encode() in ended.stderr or ended.returncode == 0


def test_what_is_no_file_is_left_out_of_a_folder_with_a_word(repo, tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("1")
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "pipe")
    (folder / "to-pipe").symlink_to("pipe")
    (folder / "null").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("folder/socket")
    ended = repo.ok("put file -r data@master:/in -f folder")
    assert [line.split("\t")[1] for line in repo.ok("list file data@master:/in").out.splitlines()[1:]] == ["/in/file", "/in/link"]
    assert ended.err.count("left out: folder/") == 4


def test_folders_in_folders_are_put_however_deep(repo, tmp_path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT, dir_fd=here))
    os.close(here)
    repo.ok("put file -r data@master:/ -f d")
    assert repo.ok(f"inspect file data@master:/{'d/' * 1199}f --raw").document["file_type"] == "FILE"
    subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("place", ["out/d", "out/d/f"])
def test_files_are_never_got_through_a_link_of_the_target(repo, tmp_path, place) -> None:
    repo.ok("put file data@master:/d/f", stdin="new")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("old")
    Path(place).parent.mkdir(parents=True)
    Path(place).symlink_to(outside if place == "out/d" else outside / "f")
    ended = repo("get file -r data@master:/ -o out")
    assert (outside / "f").read_text() == "old"
    if place == "out/d":
        assert ended.status == 5
        assert "out/d/f: a link on the way" in ended.err
    else:
        assert Path(place).read_text() == "new"
    assert not list(Path("out").glob(".get-*"))


def test_a_folder_is_got_over_one_that_is_there(repo) -> None:
    repo.ok("put file data@master:/d/f", stdin="new")
    Path("out/d").mkdir(parents=True)
    Path("out/d/f").write_text("old and longer")
    repo.ok("get file -r data@master:/ -o out")
    assert Path("out/d/f").read_text() == "new"
    assert Path("out/a").read_text() == "1"
    Path("out/a").unlink()
    Path("out/a").mkdir()
    ended = repo("get file -r data@master:/ -o out")
    assert ended.status == 5
    assert "out/a" in ended.err


EVIL = "a\x1b[2J\x1b]0;title\x07b\rc\x9b\u202ed"


def test_a_terminal_is_shown_what_it_would_obey() -> None:
    assert printable(EVIL) == "a\\x1b[2J\\x1b]0;title\\x07b\\rc\\x9b\\u202ed"
    assert printable("a\tb\n") == "a\tb\n"
    assert printable("a\nb", newlines=False) == "a\\nb"


def test_a_line_of_a_log_may_have_its_colours_and_no_more() -> None:
    assert printable_log("\x1b[31mred\x1b[2J") == "\x1b[31mred\\x1b[2J\x1b[0m"
    assert printable_log("plain\x07") == "plain\\x07"


def test_names_reach_a_terminal_escaped_and_anything_else_as_they_are(capsys) -> None:
    for terminal in (True, False):
        out = Output(colour=True, terminal=terminal)
        out.table(("NAME", "STATE"), [(EVIL, out.paint("failed", "31")), ("x\ny", "ok")])
        out.line(EVIL)
        out.log_line(EVIL)
        shown = capsys.readouterr().out
        assert ("\x1b[2J" in shown) != terminal
        assert ("x\ny" in shown) != terminal
        assert "\x1b[31mfailed\x1b[0m" in shown


def test_a_wrong_value_through_the_python_api_is_an_error_of_its_field(tmp_path) -> None:
    from local_runner.errors import Invalid
    from local_runner.model.refs import parse_repo

    deep: dict[str, object] = {}
    for _ in range(2000):
        deep = {"cross": [deep]}
    named = {"pipeline": {"name": "a"}}
    wrong: list[object] = [None, [], {}, {1: 2}, {"pipeline": True}, {"pipeline": {"name": 3}}, named | {"input": deep}]
    wrong += [
        named | {"input": {"pfs": {"repo": "data"}}},
        named | {"transform": {"cmd": [b"x"]}},
        named | {"transform": {"env": {1: "x"}}},
    ]
    with Runner.open(tmp_path / "home", background=False) as runner:
        runner.create_repo(parse_repo("data"))
        for document in wrong:
            with pytest.raises(Invalid):
                runner.create_pipeline(document, project="default")  # type: ignore[arg-type]
        assert not runner.list_pipeline()


def test_a_name_that_kubernetes_refuses_is_found_in_its_file(repo, tmp_path) -> None:
    spec = tmp_path / "p.yaml"
    spec.write_text(
        "pipeline: {name: p}\ninput: {pfs: {repo: data, glob: /}}\ntransform:\n  cmd: [sh]\n  secrets:\n"
        "  - {name: s, key: k, env_var: A}\n  - name: s\n    key: k\n    env_var: $(touch x)\n"
    )
    for line in ("create pipeline -f p.yaml", "update pipeline -f p.yaml", "check p.yaml", "run -f p.yaml"):
        ended = repo(line)
        assert ended.status == 2, line
        said = (ended.err + ended.out).replace("error: ", "")
        assert "p.yaml:9:5: transform.secrets[1].env_var: '$(touch x)' is no name of" in said, line
    assert not repo.ok("list pipeline --raw").documents
