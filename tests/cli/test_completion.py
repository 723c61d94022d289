"""What shells offer: commands and flags without a home, names out of one, and what that costs to import."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from local_runner.cli.commands.completion import offers
from local_runner.cli.table import ALONE, HIDDEN, NOUNS, VERBS
from tests.cli.conftest import copying
from tests.cli.test_help import HEAVY

EDGES = '{"pipeline": {"name": "edges"}, "transform": {"cmd": ["true"]}, "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}}}'
HEAVY_BESIDE_THE_STORE = ("rich", "grpc", "google.protobuf", "ruamel", "numpy", "local_runner.specs", "local_runner.executors.table")


def after(line):
    """What is offered in place of the last word of a line; the last blank begins an empty one."""
    return [offer.value for offer in offers(line.split(" "))]


@pytest.fixture
def home(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/dir/inside -f -", stdin="1")
    pachctl.ok("put file data@master:/file -f -", stdin="1")
    pachctl.ok("put file 'data@master:/a b' -f -", stdin="1")
    pachctl.ok("create project lab")
    pachctl.ok("create repo samples --project lab")
    pachctl.ok("create pipeline -f -", stdin=EDGES)
    return pachctl


def test_commands_and_their_nouns_are_offered():
    assert set(after("")) == VERBS.keys() - HIDDEN
    assert after("dele") == ["delete"]
    assert after("create ") == list(NOUNS["create"])
    assert after("list pr") == ["project"]
    assert {"cron", "pipeline"} <= set(after("run "))
    assert after("nope ") == after("list nope ") == []


@pytest.mark.parametrize("line", ["list repo --", "list-repo --", "list repos --"])
def test_flags_are_offered_under_every_spelling_of_a_command(line):
    assert {"--raw", "--all", "--help"} <= set(after(line))


def test_flags_of_the_command_that_is_left_out_are_those_of_run():
    assert "--executor" in after("--ex")


def test_values_of_flags_with_a_choice_are_offered():
    assert after("list repo --raw -o ") == ["json", "yaml"]
    assert after("completion ") == ["bash", "zsh", "fish"]


def test_without_a_home_no_name_is_offered_and_none_is_made(pachctl, tmp_path):
    assert after("inspect repo ") == []
    assert not (tmp_path / "home").exists()


def test_names_come_out_of_the_home(home):
    assert set(after("inspect repo ")) == {"data", "edges", "lab/samples"}
    assert after("inspect repo --project lab s") == ["samples"]
    assert after("delete pipeline ") == after("logs -p ") == ["edges"]
    assert after("delete project ") == ["default", "lab"]
    home.ok("create secret -f -", stdin='{"metadata": {"name": "token"}}')
    assert after("inspect secret ") == ["token"]
    started = home.ok("start transaction").out
    assert [id in started for id in after("finish transaction ")] == [True]


def test_an_address_is_offered_part_by_part(home):
    assert after("list file da") == ["data@"]
    assert {"data", "data@"} <= set(after("list commit da"))
    assert {"data@master", "data@master:/"} <= set(after("list file data@"))
    assert after("inspect branch data@") == ["data@master"]
    assert after("get file data@m") == ["data@master:/"]
    assert set(after("get file data@master:/")) == {"data@master:/dir/", "data@master:/file", "data@master:/a b"}
    assert after("get file data@master:/dir/") == ["data@master:/dir/inside"]
    assert after("get file data@master:f") == ["data@master:file"]
    assert [offer.value for offer in offers(["get", "file", "data@master:/a "])] == ["data@master:/a b"]
    assert after("get file lab/s") == ["lab/samples@"]
    assert after("get file nope@master:/") == after("get file nope@") == []


def test_commits_jobs_and_datums_are_offered_by_their_ids(home):
    commit = home.ok("inspect commit data@master --raw").document["commit"]["id"]
    assert f"data@{commit}" in after("inspect commit data@")
    assert after("inspect job ") == ["edges@"]
    (job,) = after("inspect job edges@")
    assert after(f"inspect datum {job} ") == [datum["datum"]["id"] for datum in home.ok(f"list datum {job} --raw").documents]
    assert "edges@" in after("stop job ")
    assert job.partition("@")[2] in after("stop job ")
    assert after("inspect datum edges@nope ") == []


def test_the_second_argument_is_not_the_first(home):
    assert after("copy file data@master:/file ed") == ["edges@"]
    assert after("get file data@master:/file ") == []
    assert after("put file data@master -f ") == []  # a file of this machine, which the shell knows


@pytest.mark.parametrize(
    "line", ["list file @:", "list file :", "inspect job @", "get file data@master^^:/", "list file data@master:/[", "-", "run -f"]
)
def test_nothing_that_is_typed_leads_to_an_error(home, line):
    assert isinstance(after(line), list)


def imported(lines, names):
    script = (
        "import sys, io\n"
        "from local_runner.cli.main import main\n"
        f"shown, sys.stdout = sys.stdout, io.StringIO()\n"
        f"for line in {lines!r}:\n"
        "    assert main(['completion', *line]) == 0, line\n"
        f"print([name for name in {names!r} if name in sys.modules], file=shown)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_scripts_commands_and_flags_cost_no_more_than_help():
    commands = [[verb, noun] for verb in NOUNS for noun in NOUNS[verb]] + [[verb] for verb in ALONE]
    words = [[], [""], *([verb, ""] for verb in NOUNS if verb not in ALONE), *([*command, "--"] for command in commands)]
    lines = [*([shell] for shell in ("bash", "zsh", "fish")), *(["bash", "--words", "--", *line] for line in words)]
    assert imported(lines, HEAVY) == "[]\n"


def test_names_cost_the_store_and_nothing_else(home):
    lines = [
        ["bash", "--words", "--", *line.split(" ")] for line in ("inspect repo ", "get file data@master:/", "stop job ", "edit pipeline ")
    ]
    assert imported(lines, HEAVY_BESIDE_THE_STORE) == "[]\n"


def test_looking_up_names_starts_no_engine(home, pachctl, tmp_path):
    pachctl.start_engine = lambda runner: None
    pachctl.ok("create pipeline -f -", stdin=json.dumps(copying(pipeline={"name": "waits"})))
    assert after("inspect repo d") == ["data"]
    assert not (tmp_path / "home" / "engine.log").exists()


def in_bash(home, line):
    """What bash would put in place of the word before the cursor."""
    words = line.split(" ")
    script = (
        f"{home.ok('completion bash').out}\n"
        f"COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}\n"
        "compopt() { echo nospace; }\n"
        "_local_runner\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
        "complete -p pachctl\n"
        'echo "$COMP_WORDBREAKS"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_offers_what_we_say(home):
    lines = in_bash(home, "pachctl get file data@master:/")
    assert {"data@master:/a\\ b", "data@master:/dir/", "data@master:/file"} <= set(lines)
    assert "complete -o default -F _local_runner pachctl" in lines
    assert not {"@", ":"} & set(lines[-1])
    assert in_bash(home, "pachctl get file da")[:2] == ["nospace", "data@"]
    assert in_bash(home, "pachctl edit pipeline e")[0] == "edges"


@pytest.mark.parametrize(("shell", "flag"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_scripts_are_ones_their_shells_can_read(pachctl, tmp_path, shell, flag):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(pachctl.ok(f"completion {shell}").out)
    done = subprocess.run([shell, flag, tmp_path / "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_descriptions_follow_a_tab_where_the_shell_shows_them(pachctl):
    assert "create\tCreate something new." in pachctl.ok("completion zsh --words -- cr").out.splitlines()
    assert pachctl.ok("completion bash --words -- cr").out == "create\n"
