"""The `pachctl` that user code finds on its PATH: bound to the home its datum is of, which user code does not see."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local_runner.cli.pachctl_inside import REFUSED_FLAGS, VERBS, VERBS_ALONE, find_command
from local_runner.cli.table import ALONE, NOUNS
from local_runner.errors import Refused
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_commit
from tests.reference.machine import Machine

SCRIPT = (
    "set -e",
    "pachctl get file other@master:/word > /pfs/out/word",
    "echo seen | pachctl put file notes@master:/$PACH_DATUM_ID",
    "pachctl list file notes@master > /dev/null",
)


@pytest.mark.parametrize("executor", [SandboxExecutor(), ProcessExecutor()], ids=["sandbox", "process"])
def test_user_code_reads_and_writes_repos_of_its_own_home(home: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    if executor.why_not():
        pytest.skip(executor.why_not())
    # Wherever the engine was started from, and whatever else is there.
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(home.parent / "elsewhere"))
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "1"})
    machine.put("other@master", {"/word": "hello"})
    machine.repo("notes")
    machine.script("p", *SCRIPT, input="/")
    machine.run_all()
    assert machine.state("p") is JobState.SUCCESS
    assert machine.files("p@master") == {"/word": "hello"}
    (info,) = machine.runner.list_datum(machine.job("p").job)
    assert machine.files("notes@master") == {f"/{info.datum.id}": "seen\n"}
    machine.close()


# -- what it may be asked for, which is decided without a worker ---------------------------------------------------------------------

HARMLESS = {
    *("no_color", "verbose", "project", "all_projects", "wait", "yes", "raw", "output_format", "full_timestamps", "no_pager", "progress"),
    *("repo", "branch", "commit", "job", "datum", "pipeline", "project_name", "paths", "pattern", "file", "files", "input_file", "source"),
    *("target", "spec", "new", "old", "words", "inputs", "recursive", "append", "description", "force"),
}


def test_every_verb_for_user_code_is_one_and_every_flag_of_it_was_looked_at() -> None:
    """A new flag that names a file of the host must not come in by itself: whoever adds one looks at it, and adds it here."""
    looked_at = {
        *("parent", "provenance", "head", "from_", "number", "expand", "all_kinds", "all_types", "kind", "origin", "history", "states"),
        *("only_new", "limit", "as_json", "timeout", "name_only", "shallow", "old_project", "src_project", "dest_project", "offset"),
        *("full_path", "unpack", "parallelism", "compress", "datums", "size", "header_records", "box_width", "edge_height", "job_set"),
        *("trigger", "trigger_cron", "trigger_size", "trigger_commits", "trigger_rate_limit", "trigger_all", "grep", "since", "tail"),
        *(
            "follow",
            "worker",
            "master",
            "whole",
            "attempt",
            "forward",
            "depth",
            "everything",
            "client_only",
            "print_architecture",
            "compare",
        ),
        "enterprise",
    }
    names = [f"{verb} {noun}" for verb, nouns in VERBS.items() for noun in nouns] + sorted(VERBS_ALONE)
    for name in names:
        _, command, _ = find_command(name.split())
        flags = {param.name for param in command.params} - REFUSED_FLAGS.get(name, frozenset())
        assert flags <= HARMLESS | looked_at, name
    assert REFUSED_FLAGS.keys() <= set(names)


ALLOWED = [*(f"{verb} {noun}" for verb, nouns in VERBS.items() for noun in nouns), *VERBS_ALONE]
OTHERS = sorted({*(f"{verb} {noun}" for verb, nouns in NOUNS.items() for noun in nouns), *ALONE} - {*ALLOWED})


@pytest.mark.parametrize("name", [*OTHERS, "create-pipeline", "delete-all", "nonsense", "", "-v run", "list secrets"])
def test_all_other_verbs_are_refused_in_words(name: str) -> None:
    if not name:
        assert find_command([])[0] == "help"
        return
    with pytest.raises(Refused, match="cannot be asked for inside a worker") as caught:
        find_command(name.split())
    assert "outside" in caught.value.hint


@pytest.mark.parametrize("name", ["list repos", "list-repo", "put file", "--no-color list branches", "-v start commitV2"])
def test_old_and_other_spellings_are_understood(name: str) -> None:
    assert find_command([*name.split(), "rest"])[2] == ["rest"]


# -- in a sandbox --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    executor = SandboxExecutor()
    if executor.why_not():
        pytest.skip(executor.why_not())
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "1", "/d/b": "2"})
    machine.put("notes@master", {"/kept": "k"})
    yield machine
    machine.close()


def said(machine: Machine, *lines: str, state: JobState = JobState.SUCCESS) -> str:
    """What a script printed, in one datum."""
    machine.script("p", *lines, input="/", datum_tries=1)
    machine.run_all()
    printed = "\n".join(str(line["message"]) for line in machine.runner.logs(PipelineRef("default", "p")))
    assert machine.state("p") is state, printed
    return printed


def test_files_and_folders_go_in_and_out_as_outside(machine: Machine) -> None:
    printed = said(
        machine,
        "set -e; cd /tmp; mkdir -p in/deeper; echo 1 > in/x; echo 2 > in/deeper/y; printf 'in/x\\nin/deeper/y\\n' > listed",
        "pachctl put file -r notes@master:/all -f in",
        "pachctl put file notes@master:/ -f in/x,/tmp/in/deeper/y",
        "pachctl put file notes@master:/listed/ -i listed",
        "cat listed | pachctl put file notes@master:/listed/ -i -",
        "echo 3 | pachctl put file notes@master:/stdin",
        "pachctl get file data@master:/a -o /pfs/out/a",
        "pachctl get file -r data@master:/ -o /pfs/out/all",
        "for n in 1 2 3; do echo $n; done | while read n; do pachctl inspect repo data > /dev/null; echo still $n; done",
        "pachctl inspect file notes@master:/none || echo status $?",
    )
    put = {"/x": "1\n", "/y": "2\n", "/stdin": "3\n", "/kept": "k"}
    assert machine.files("notes@master") == put | {
        "/all/x": "1\n",
        "/all/deeper/y": "2\n",
        "/listed/x": "1\n",
        "/listed/y": "2\n",
    }
    assert machine.files("p@master") == {"/a": "1", "/all/a": "1", "/all/d/b": "2"}
    assert [line for line in printed.splitlines() if line.startswith("still")] == ["still 1", "still 2", "still 3"]
    assert "status 4" in printed


def test_a_file_that_is_named_is_that_inside_and_not_the_hosts(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    path = f"{tmp_path}/secret"
    printed = said(
        machine,
        f"pachctl put file notes@master:/a -f {path} || echo no",
        f"ln -s {path} /tmp/link; pachctl put file notes@master:/b -f /tmp/link || echo no",
        f"mkdir /tmp/folder; ln -s {path} /tmp/folder/link; pachctl put file -r notes@master:/c -f /tmp/folder || echo no",
        f"echo {path} > /tmp/listed; pachctl put file notes@master:/ -i /tmp/listed || echo no",
        f"pachctl get file data@master:/a -o {tmp_path}/written || echo no",
        f"ln -s {tmp_path} /tmp/out; pachctl get file data@master:/a -o /tmp/out/written || echo no",
    )
    assert printed.splitlines().count("no") == 6
    assert str(machine.runner.home) not in printed
    assert os.listdir(tmp_path) == ["secret"]
    assert machine.files("notes@master") == {"/kept": "k"}


RAW = """
import socket, struct, sys
def frame(kind, data=b""):
    return struct.pack(">cI", kind, len(data)) + data
line = socket.socket(socket.AF_UNIX)
line.connect("/pach-bin/.runner")
line.sendall(frame(b"a", b"put\\0file\\0-r\\0notes@master:/x\\0-f\\0in"))
for name in (b"../../../../../../..%s", b"%s", b"a/../../../../../../../../..%s", b"a\\0b", b".."):
    line.sendall(frame(b"f", name.replace(b"%s", sys.argv[1].encode())) + frame(b"d", b"escaped"))
line.sendall(frame(b"z") + frame(b"I"))
try:
    while data := line.recv(1000):
        print(data)
except ConnectionResetError:
    pass
"""


def test_whoever_speaks_to_the_runner_himself_writes_no_file_of_the_host(machine: Machine, tmp_path: Path) -> None:
    printed = said(machine, f"cat > /tmp/raw.py <<'END'\n{RAW}\nEND", f"python3 /tmp/raw.py {tmp_path}/written")
    assert os.listdir(tmp_path) == []
    assert "leads out of its folder" in printed


def test_nonsense_on_the_socket_ends_that_call_and_nothing_else(machine: Machine) -> None:
    flood = (
        "import os, socket\n"
        "for data in (b'', b'x', os.urandom(4000), b'a\\xff\\xff\\xff\\xff' + bytes(100), b'a\\0\\0\\0\\2\\xff\\0', b'z\\0\\0\\0\\0'):\n"
        "    s = socket.socket(socket.AF_UNIX); s.connect('/pach-bin/.runner'); s.sendall(data); s.close()\n"
    )
    printed = said(machine, f"python3 - <<'END'\n{flood}END", "pachctl list repo && echo fine")
    assert "fine" in printed


def test_calls_that_hang_end_with_the_worker(machine: Machine) -> None:
    """More than there may be at once, each waiting for what never comes."""
    connect = "s = socket.socket(socket.AF_UNIX); s.connect('/pach-bin/.runner'); os.dup(s.fileno())"
    hang = f"import os, socket, time\nfor n in range(12):\n    {connect}\ntime.sleep(1000)"
    said(machine, f"python3 - <<'END' &\n{hang}\nEND", "sleep 1; pachctl subscribe commit notes@master & sleep 1; exit 0")


def test_no_pipeline_secret_or_host_program_comes_by_pachctl(machine: Machine, tmp_path: Path) -> None:
    egress = {"pipeline": {"name": "q"}, "input": {"pfs": {"repo": "data", "glob": "/"}}, "egress": {"URL": str(tmp_path)}}
    machine.runner.create_secret({"metadata": {"name": "s"}, "stringData": {"k": "a secret value"}})
    printed = said(
        machine,
        f"echo '{json.dumps(egress)}' > /tmp/q.json",
        "for c in 'create pipeline -f /tmp/q.json' 'update pipeline -f /tmp/q.json' 'list secret' 'inspect secret s' 'delete all -y' "
        "'delete repo data --force' 'delete repo --all' 'start transaction' 'datum shell p /a' 'run' 'deploy' 'edit pipeline p' 'engine' "
        "'build images' 'doctor' 'completion bash' 'fsck' 'config get context' 'get file data@master:/a --retry -o /tmp/x' "
        "'diff file data@master:/a --diff-command /tmp/evil' 'create project x' 'stop pipeline p' 'rerun pipeline p'; "
        "do pachctl $c < /dev/null > /dev/null 2> /tmp/e && echo did: $c; grep -q 'inside a worker' /tmp/e || cat /tmp/e; done; true",
    )
    assert printed == ""
    assert [info.pipeline.name for info in machine.runner.list_pipeline()] == ["p"]


def test_user_code_reaches_no_address_by_the_runner(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = (f"http://127.0.0.1:{server.server_port}/x", f"file://{tmp_path}/secret", "s3://bucket/x")
        said(machine, *(f"pachctl put file notes@master:/x -f {url} && exit 1" for url in urls), "true")
        server.shutdown()
    assert asked == []
    assert machine.files("notes@master") == {"/kept": "k"}


def test_variables_of_user_code_change_nothing_about_the_runner(machine: Machine, tmp_path: Path) -> None:
    """Not whose worker it is, which home is meant, or which code runs."""
    machine.runner.create_pipeline({"pipeline": {"name": "spout"}, "transform": {"cmd": ["sh"]}, "spout": {}}, project="default")
    commit = machine.runner.inspect_pipeline(PipelineRef("default", "spout")).spec_commit
    said(
        machine,
        "mkdir -p /tmp/evil/local_runner; echo 'import os; os.system(\"touch /tmp/evil/ran\")' > /tmp/evil/local_runner/__init__.py",
        f"export LOCAL_RUNNER_HOME={tmp_path}/other PYTHONPATH=/tmp/evil PYTHONSTARTUP=/tmp/evil/local_runner/__init__.py",
        f"export PPS_PIPELINE_NAME=spout PPS_SPEC_COMMIT={commit}",
        "echo x | pachctl put file spout@master:/x && exit 1",
        "echo x | pachctl put file notes@master:/x || exit 2",
        "[ ! -e /tmp/evil/ran ]",
    )
    assert machine.files("notes@master") == {"/x": "x\n", "/kept": "k"}
    assert not (tmp_path / "other").exists()
    assert machine.runner.inspect_commit(parse_commit("spout@master")).size in (0, None)


def test_the_home_is_not_seen_and_its_path_is_not_told(machine: Machine) -> None:
    home = machine.runner.home
    printed = said(machine, f"env; ls {home} && exit 1; ls {home.parent}; cat /pach-bin/pachctl; mount; true")
    assert "LOCAL_RUNNER_HOME" not in printed
    assert str(home) not in printed.replace(f"ls: cannot access '{home}'", "")
