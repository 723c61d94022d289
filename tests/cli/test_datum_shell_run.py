"""`datum shell` and `datum run`: what they print and how they end, and the terminal that a shell and a debugger need."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from local_runner.cli.commands.completion import offers
from local_runner.cli.commands.datum_shell_run import under_pdb
from local_runner.errors import Invalid
from tests.cli.test_terminal import Session

# What the pretended user code of the jobs does, as a command.
COPY = ['if grep -q fail "$in"; then echo "it fails" >&2; exit 1; fi', 'echo "read $in"', 'cp "$in" /pfs/out/']


def spec(name="edges", glob="/*", **transform):
    source = {"pfs": {"repo": "data", "name": "in", "glob": glob}}
    return json.dumps(
        {"pipeline": {"name": name}, "transform": {"cmd": ["sh"], "stdin": COPY, **transform}, "input": source, "datum_tries": 1}
    )


@pytest.fixture
def edges(pachctl):
    """A pipeline with a datum that succeeded and one that failed; the job is called @JOB."""
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/good -f -", stdin="1\n")
    pachctl.ok("create pipeline -f -", stdin=spec())
    pachctl.ok("put file data@master:/bad -f -", stdin="fail\n")
    return pachctl


def job(pachctl, number=0):
    return pachctl.ok("list job -p edges --raw").documents[number]["job"]["id"]


def test_a_datum_that_succeeded_runs_again_and_is_compared_with_what_it_wrote(edges):
    ended = edges.ok(f"datum run edges@{job(edges)} /good")
    assert ended.out.startswith("read ")
    assert "datum " in ended.err
    assert f"1 file in /pfs/out as in edges@{job(edges)}" in ended.err
    assert ended.err.endswith("nothing was committed\n")


def test_a_datum_that_fails_again_ends_with_3(edges):
    ended = edges(f"datum run edges@{job(edges)} /bad")
    assert ended.status == 3
    assert "it fails" in ended.err
    assert ended.err.splitlines()[-1].endswith("failed: exit status 1")
    assert "nothing was written to /pfs/out" in ended.err


def test_a_datum_that_fails_for_what_is_withheld_says_so_as_its_job_does(edges):
    edges.ok(
        "update pipeline -f -", stdin=spec(stdin=["cat /pfs/in/* > /dev/null; echo 'Could not resolve host: example.org' >&2; exit 1"])
    )
    ended = edges(f"datum run edges@{job(edges)} /good")
    assert ended.status == 3
    assert "user code tried to reach the network, which this runner forbids" in ended.err


def test_what_differs_is_listed(edges):
    edges.ok("delete file data@master:/bad")
    edges.ok("update pipeline -f -", stdin=spec(stdin=["echo other > /pfs/out/good; echo new > /pfs/out/new"]))
    ended = edges.ok("datum run edges /good --executor process")
    assert "executor process, as asked" in ended.err
    table = [" ".join(line.split()) for line in ended.err.splitlines()]
    assert f"IN /pfs/out NOW THEN COMPARED WITH edges@{job(edges)}" in table
    assert "/good 6B 2B differs" in table
    assert "/new 4B - new" in table
    edges.ok("update pipeline -f -", stdin=spec(stdin=["true"]))
    assert "/good - 2B not written" in " ".join(edges.ok("datum run edges /good").err.split())


def test_it_is_told_when_the_comparison_is_with_other_input(edges):
    edges.ok("delete file data@master:/bad")
    edges.ok("stop pipeline edges")
    edges.ok("put file data@master:/good -f -", stdin="333\n")
    ended = edges.ok("datum run edges")
    assert f"edges@{job(edges)}, of other input files" in ended.err


def test_a_datum_of_a_spec_that_is_no_pipeline(edges, tmp_path):
    (tmp_path / "spec.json").write_text(spec("idea", stdin=["echo idea; ls /pfs/in/"]))
    assert edges.ok("datum run --input spec.json /good").lines == ["idea", "good"]
    (tmp_path / "input.json").write_text(json.dumps({"pfs": {"repo": "data", "name": "in", "glob": "/goo*"}}))
    assert edges.ok("datum run edges --input input.json").lines[0].startswith("read ")
    assert edges.ok("datum run edges /good --input -", stdin=(tmp_path / "input.json").read_text()).lines[0].startswith("read ")


def test_the_datum_that_wrote_a_file(edges):
    edges.ok("delete file data@master:/bad")
    assert "edges: in:/good" in edges.ok("datum run edges@master:/good").err


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("datum run", 2, "no datum is named"),
        ("datum shell", 2, "no datum is named"),
        ("datum run edges /none", 4, "has no datum /none"),
        ("datum run edges", 2, "has 2 datums"),
        ("datum run none /a", 4, 'pipeline "default/none" not found'),
        ("datum run edges@5f93d03b65fa421996185e53f7f8b1e4 /good", 4, "not found"),
        ("datum run data@master:/good", 1, "was put by people"),
        ("datum run data@master:/good /good", 2, "is a file"),
        ("datum run edges /good --executor none", 2, "unknown executor"),
        ("datum run edges /good --pdb", 1, "--pdb needs a terminal"),
        ("datum run --input none.json /a", 4, "none.json"),
        ("datum run --input data.json /a", 2, "data.json holds no transform"),
        ("datum run --input data.json", 2, "data.json holds no transform"),
        ("datum run --input data.json none /", 4, 'pipeline "default/none" not found'),
    ],
)
def test_what_is_wrong_is_said(edges, tmp_path, line, status, says):
    (tmp_path / "data.json").write_text('{"pfs": {"repo": "data", "glob": "/"}}')
    ended = edges(line)
    assert ended.status == status, ended
    assert says in ended.err


def test_a_script_is_run_in_a_datum(edges):
    ended = edges.ok("datum shell edges /good", stdin='cat "$in"; env | grep PACH_DATUM_ID; echo x > /pfs/out/x')
    assert ended.lines[0] == "1"
    assert ended.lines[1].startswith("PACH_DATUM_ID=")
    assert f"its command: sh <<'END'\n{COPY[0]}" in ended.err
    assert "/x 2B" in " ".join(ended.err.split())
    assert "not written" not in ended.err
    assert "nothing was committed" in ended.err
    assert edges("list file edges@master").out.count("\n") <= 2


def test_a_script_that_fails_in_a_datum_ends_with_3(edges):
    assert edges("datum shell edges /good", stdin="exit 9").status == 3


# At a terminal


def test_a_shell_in_a_datum(edges, tmp_path):
    session = Session(tmp_path / "home", "datum", "shell", "edges", "/good")
    session.read(r"edges:.*[$#] $")
    session.type("cat $in; stty size; tty\r")
    session.read(r"1\r\n0 0\r\n/dev/pts/\d+\r\n.*[$#] $")
    session.type("sh -c 'echo started; exec sleep 86400'\r")
    session.read(r"\rstarted\r\n")
    session.type("\x03")
    session.type("echo half > /pfs/out/half; exit\r")
    assert session.status() == 0
    assert "/half" in session.shown
    assert session.shown.endswith("nothing was committed\r\n")
    assert "half" not in edges("list file edges@master").out


def test_a_shell_where_nothing_is_written(edges, tmp_path):
    session = Session(tmp_path / "home", "datum", "shell", "edges", "/good", "--executor", "process")
    session.read(r"edges:.*[$#] $")
    session.type("\x04")
    assert session.status() == 0
    assert session.shown.endswith("nothing was written to /pfs/out\r\n")


def test_a_terminal_that_is_closed_leaves_nothing_behind(edges, tmp_path):
    session = Session(tmp_path / "home", "datum", "shell", "edges", "/good", "--executor", "process")
    session.read(r"edges:.*[$#] $")
    place = re.search(r"/\S+/local_runner-datum-\w+", session.shown)[0]  # in its command
    assert os.path.isdir(place)
    os.close(session.master)
    assert session.process.wait(60) == 129
    assert not os.path.exists(place)


PROGRAM = """\
import os
number = len(open(os.environ["in"]).read())
print("share", 1 / (number - 2))
"""


@pytest.fixture
def program(pachctl, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/bad -f -", stdin="1\n")
    return pachctl


def test_a_failing_program_stops_in_the_debugger(program, tmp_path):
    script = f"cd /; exec {sys.executable} {tmp_path}/program.py"
    program.ok("create pipeline -f -", stdin=spec(cmd=["sh", "-c", script], stdin=[]))
    session = Session(tmp_path / "home", "datum", "run", "edges", "/bad", "--pdb", "--executor", "process")
    session.read(r"(?s)ZeroDivisionError.*\(Pdb\) $")
    session.type("p number - 2\r")
    session.read(r"p number - 2\r\n0\r\n\(Pdb\) $")
    session.type("q\r")
    session.read(r"(?s)restarted.*\(Pdb\) $")
    session.type("q\r")
    assert session.status() == 0
    assert session.shown.endswith("nothing was committed\r\n")


def test_a_program_that_is_well_goes_through_the_debugger(program, tmp_path):
    program.ok("put file data@master:/bad -f -", stdin="123\n")
    program.ok("create pipeline -f -", stdin=spec(cmd=[sys.executable, "-c", "print()"], stdin=[]))
    session = Session(tmp_path / "home", "datum", "run", "edges", "/bad", "--pdb", "--executor", "process")
    assert session.status() == 2
    assert "--pdb is for Python, and the command is" in session.shown


PDB = "-m pdb -c continue"


@pytest.mark.parametrize(
    ("cmd", "stdin", "under"),
    [
        ("python3 /main.py a -b", "", f"python3 {PDB} /main.py a -b"),
        ("/usr/bin/python3.11 -u -W error main.py", "", f"/usr/bin/python3.11 -u -W error {PDB} main.py"),
        ("python -m package a", "", f"python {PDB} -m package a"),
        ("/app/main.py a", "", f"python3 {PDB} /app/main.py a"),
    ],
)
def test_a_python_command_goes_under_the_debugger(cmd, stdin, under):
    assert under_pdb(cmd.split(), []) == under.split()


@pytest.mark.parametrize(
    ("script", "under"),
    [
        ("python3 main.py", f"python3 {PDB} main.py"),
        ("cd /app\npython -u main.py | tee log", f"cd /app\npython -u {PDB} main.py | tee log"),
        ("for f in /pfs/in/*; do python3 main.py $f; done", f"for f in /pfs/in/*; do python3 {PDB} main.py $f; done"),
        ("true && exec /opt/bin/python3.12 -m it", f"true && exec /opt/bin/python3.12 {PDB} -m it"),
    ],
)
def test_python_in_a_script_goes_under_the_debugger(script, under):
    assert under_pdb(["bash"], script.split("\n")) == ["bash", "-c", under]
    assert under_pdb(["/bin/sh", "-c", script, "arg"], []) == ["/bin/sh", "-c", under, "arg"]


@pytest.mark.parametrize(
    "cmd", ["python3", "python3 -", "python3 -c pass", "Rscript x.R", "sh /script", "bash -c ls", "sh -c echo\tpython3"]
)
def test_what_is_no_python_to_be_seen_is_refused(cmd):
    with pytest.raises(Invalid, match="--pdb is for Python"):
        under_pdb(cmd.split(" "), [])


def test_jobs_and_their_datums_are_offered_to_the_shell(edges):
    offered = {offer.value for offer in offers(["datum", "run", f"edges@{job(edges)[:4]}"])}
    assert f"edges@{job(edges)}" in offered
    assert [len(offer.value) for offer in offers(["datum", "shell", f"edges@{job(edges)}", ""])] == [64, 64]
