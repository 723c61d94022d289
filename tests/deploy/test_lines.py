"""`deploy --dry-run`: the lines to paste, which do what `deploy` does, and nothing until then."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from local_runner.deploy.lines import _format
from tests.deploy.conftest import PROJECT_FILE, TRAIN, Deployment, Tools

# Writes down its arguments, and its standard input if they name it.
_PACHCTL = """pachctl() {
  local call; call=$asked/$(printf %04d "$(ls "$asked" | wc -l)")
  if [[ "$*" == *" -f -" ]]; then cat > "$call.stdin"; fi
  printf '%s\\0' "$@" > "$call.arguments"
}"""


def test_a_dry_run_prints_the_lines_and_touches_nothing(deployment: Deployment, tools: Tools, tmp_path: Path) -> None:
    ended = deployment.ok("--dry-run --registry localhost:5000")
    [tag] = re.findall(r"me/train:(1\.0-[0-9a-f]{12})$", ended.out, flags=re.M)[:1]
    lines = ended.out.splitlines()
    assert lines[:2] == [f"cd {deployment.root}", f"export PACHD_ADDRESS={deployment.address}"]
    assert lines[2:4] == [f"docker build -t localhost:5000/me/train:{tag} train", f"docker push localhost:5000/me/train:{tag}"]
    assert "pachctl put file data@master:/iris.csv --project default -f iris.csv" in lines
    assert r"printf '16\n' | pachctl put file parameters@master:/c.txt/0000000000000001 --project default -f -" in lines
    assert "pachctl update pipeline --project default -f a_pick.json" in lines
    start = lines.index("pachctl update pipeline --project default -f - <<'END_OF_SPEC'") + 1
    sent = json.loads("\n".join(lines[start : lines.index("END_OF_SPEC")]))
    assert sent["transform"] == {**TRAIN["transform"], "image": f"localhost:5000/me/train:{tag}"}
    assert lines[-2:] == ["pachctl wait commit train@master --project default", "pachctl wait commit pick@master --project default"]
    assert deployment.cluster.calls == []
    assert not (tmp_path / "home").exists()


def test_the_lines_use_the_image_tool_at_hand(deployment: Deployment, tools: Tools) -> None:
    tools.add("podman")
    assert "podman push localhost:5000/me/train" in deployment.ok("-n --registry localhost:5000").out


def test_without_a_registry_no_image_is_named(deployment: Deployment) -> None:
    out = deployment.ok("--dry-run --no-wait --reprocess --project lab").out
    assert "docker" not in out
    assert "wait commit" not in out
    assert "pachctl create project lab" in out
    assert "pachctl update pipeline --project lab --reprocess -f b_train.json" in out


def test_a_spec_file_with_two_specs_is_taken_apart(deployment: Deployment) -> None:
    both = "\n---\n".join((deployment.root / name).read_text() for name in ("a_pick.json", "b_train.json"))
    deployment.write("both.yaml", both)
    deployment.write("local_runner.toml", PROJECT_FILE.replace("*.json", "both.yaml"))
    assert deployment.ok("--dry-run").out.count("-f - <<'END_OF_SPEC'") == 2


def test_pasting_the_lines_puts_the_same_files(deployment: Deployment, tmp_path: Path) -> None:
    """Bash says what it would ask pachctl, and that is asked of the `pachctl` here; specs are only looked at, so that no engine starts."""
    deployment.write("c.txt", "8 %d\\n é\n'16'\n")
    script = deployment.ok("--dry-run --no-wait").out.replace("update pipeline", "update pipeline --dry-run")
    asked = tmp_path / "asked"
    asked.mkdir()
    done = subprocess.run(["bash", "-euc", f"asked={asked}\n{_PACHCTL}\n{script}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for _ in range(2):  # they may be pasted again
        for call in sorted(asked.glob("*.arguments")):
            stdin = call.with_suffix(".stdin")
            deployment.command.ok("", *call.read_text().split("\0")[:-1], stdin=stdin.read_text() if stdin.exists() else "")
    listed = deployment.command.ok("list file parameters@master:/c.txt").lines[1:]
    assert [line.split()[-1] for line in listed] == ["/c.txt/0000000000000000", "/c.txt/0000000000000001"]
    assert deployment.command.ok("get file parameters@master:/c.txt/0000000000000000").out == "8 %d\\n é\n"
    assert deployment.command.ok("get file data@master:/iris.csv").out == "1,2\n3,4\n"


@given(st.binary(max_size=40).map(lambda content: content + b"x"))
def test_printf_gives_back_any_record(content: bytes) -> None:
    """As the shell's own `printf` does it; here by the rules of POSIX, as a process for each example takes too long."""
    [word] = shlex.split(_format(content))
    special = {r"\\": b"\\", r"\n": b"\n", "%%": b"%"}
    parts = re.findall(r"\\[0-7]{3}|\\.|%%|[^\\%]", word)
    assert "".join(parts) == word
    assert b"".join(special.get(part) or (bytes([int(part[1:], 8)]) if part[0] == "\\" else part.encode()) for part in parts) == content


def test_names_are_data_in_the_lines(deployment: Deployment, tmp_path: Path) -> None:
    evil = "$(touch x);`touch x`'"
    deployment.write("local_runner.toml", PROJECT_FILE.replace('name = "data"', 'name = "$(touch x)"'))
    out = deployment.ok(f"--dry-run --project {shlex.quote(evil)}").out
    script = f"pachctl() {{ :; }}\n{out}"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, capture_output=True)
    assert "touch x" in out
    assert not [*tmp_path.rglob("x")]
