"""What the commands about files cost, whole processes, beside the programs everybody knows; medians of interleaved rounds.

python benchmarks/commands.py [FILES …]      # 1000 10000 100000 if nothing is said
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measure import Took, machine, median, run, table, verdict

PROMISED = 10_000  # files, for which the ratios are promised
BARS = {"cp": 1.0, "git": 0.7}  # of `put file -r`, against
RUNNER = (sys.executable, "-m", "local_runner")
QUIET = {"PYTHONDONTWRITEBYTECODE": "", "GIT_CONFIG_GLOBAL": os.devnull}
FIRST_LINE, EXTRA_MEMORY = 2.0, 15.0  # `list file`: times the seconds of a version's call, MB more than for 1000 files


def files(folder: Path, count: int) -> Path:
    """So many files of some 300 bytes in one folder."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:07}.txt").write_text(f"file {number}\n" * 25)
    return folder


def first_line(folder: Path, env: dict[str, str], argv: Sequence[str]) -> tuple[float, float, float]:
    """Seconds to the first row below the header, seconds to the end, and peak memory in MB."""
    began = time.perf_counter()
    with subprocess.Popen([*RUNNER, *argv], cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.readline()
        first = time.perf_counter() - began
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return first, time.perf_counter() - began, usage.ru_maxrss / 1024


def once(base: Path, source: Path) -> dict[str, Took]:
    """Every command and its peer, one after the other, in fresh folders."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    env = {**QUIET, "LOCAL_RUNNER_HOME": str(base / "home")}
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=master", "-c", "maintenance.auto=false")
    run([*RUNNER, "create", "repo", "data"], base, env)
    took = {}
    took["cp -r"] = run(["cp", "-r", source, base / "copied"], base)
    took["put file -r"] = run([*RUNNER, "put", "file", "data@master:/", "-r", "-f", source], base, env)
    run([*git, "init", "-q"], base / "copied", env)
    command = f"{' '.join(git)} add . && {' '.join(git)} commit -qm x"
    took["git add && commit"] = run(["sh", "-c", command], base / "copied", env)
    took["get file -r"] = run([*RUNNER, "get", "file", "data@master:/", "-r", "-o", base / "got"], base, env)
    took["ls -l"] = run(["ls", "-l", source], base)
    took["list file"] = run([*RUNNER, "list", "file", "data@master:/"], base, env)
    took["glob file '/*5.txt'"] = run([*RUNNER, "glob", "file", "data@master:/*5.txt"], base, env)
    took["inspect file"] = run([*RUNNER, "inspect", "file", "data@master:/0000005.txt"], base, env)
    return took


PEERS = {"put file -r": "cp -r", "get file -r": "cp -r", "list file": "ls -l", "glob file '/*5.txt'": "ls -l", "inspect file": "ls -l"}


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [1_000, 10_000, 100_000]
    print(f"{machine()}\n")
    rows: list[tuple[object, ...]] = []
    verdicts: list[str] = []
    memory: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="commands-") as name:
        base = Path(name)
        for count in sizes:
            source = files(base / f"files{count}", count)
            rounds = [once(base / "round", source) for _ in range(7 if count <= PROMISED else 1)]
            wall = {what: median([took[what].wall for took in rounds]) for what in rounds[0]}
            for what, seconds in wall.items():
                cpu, best = median([took[what].cpu for took in rounds]), min(took[what].wall for took in rounds)
                ratio = seconds / wall[PEERS[what]] if what in PEERS else ""
                rows.append((count, what, best, seconds, cpu, ratio, PEERS.get(what, "")))
            if count == PROMISED:
                for peer, key in (("cp -r", "cp"), ("git add && commit", "git")):
                    ratio = wall["put file -r"] / wall[peer]
                    verdicts.append(f"put file -r of {count}: {ratio:.2f} x {peer}: {verdict(ratio, BARS[key])}")
            env = {**QUIET, "LOCAL_RUNNER_HOME": str(base / "round" / "home")}
            version = run([*RUNNER, "list", "repo"], base, env).wall
            first, whole, memory[count] = first_line(base, env, ["list", "file", "data@master:/"])
            more = memory[count] - memory[sizes[0]]
            verdicts.append(
                f"list file of {count}: first row after {first:.2f} s ({verdict(first / version, FIRST_LINE)} x `list repo`), "
                f"all after {whole:.2f} s, {memory[count]:.0f} MB; {more:.0f} MB more than for {sizes[0]}: {verdict(more, EXTRA_MEMORY)}"
            )
    print(table(("files", "command", "best s", "median s", "processor s", "ratio, median", "against"), rows))
    print("\n" + "\n".join(f"* {line}" for line in verdicts))


if __name__ == "__main__":
    main()
