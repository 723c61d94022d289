"""What one large file costs from its put to its get, and 10,000 small ones at once, beside `b2sum`, `cp`, `tr`, `cat` and `cp -r`.

Whole processes; medians of interleaved rounds. python benchmarks/large_files.py [MEBIBYTES [ROUNDS]]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from measure import MEBI, Took, large_file, machine, median, run, small_files, table, verdict

RUNNER = (sys.executable, "-m", "local_runner")
SMALL = 10_000
TURN = ("tr", "\\000-\\376", "\\001-\\377")


def job_spec() -> str:
    command = " ".join(f"'{word}'" for word in TURN)
    return json.dumps(
        {
            "pipeline": {"name": "turned"},
            "transform": {"cmd": ["sh"], "stdin": [f"{command} < /pfs/in/file > /pfs/out/file"]},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
        }
    )


def stored(home: Path) -> int:
    """Bytes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in home.rglob("*"))


def once(base: Path, source: Path, small: Path) -> tuple[dict[str, Took], int]:
    """Everything and its peers, one after the other, in fresh folders; and the bytes that the append took on the disk."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    env = {"PYTHONDONTWRITEBYTECODE": "", "LOCAL_RUNNER_HOME": str(base / "home"), "LOCAL_RUNNER_EXECUTOR": "process"}
    (base / "more").write_bytes(os.urandom(MEBI))
    (base / "turned.json").write_text(job_spec())
    turn = " ".join(f"'{word}'" for word in TURN)

    def ours(*words: str | Path) -> Took:
        return run([*RUNNER, *words], base, env)

    took = {}
    ours("create", "repo", "in")
    ours("create", "repo", "small")
    took["b2sum"] = run(["b2sum", source], base)
    took["cp"] = run(["cp", source, base / "copy"], base)
    took["put"] = ours("put", "file", "in@master:/file", "-f", source)
    took["cat"] = run(["sh", "-c", f"cat {base}/copy | cat > {base}/read"], base)
    took["get"] = run(["sh", "-c", f"{' '.join(RUNNER)} get file in@master:/file | cat > {base}/got"], base, env)
    (base / "got").unlink()
    (base / "read").unlink()
    took["tr"] = run(["sh", "-c", f"{turn} < {base}/copy > {base}/turned"], base)
    (base / "turned").unlink()
    took["job"] = ours("create", "pipeline", "--wait", "-f", base / "turned.json")
    ours("delete", "pipeline", "turned")
    before = stored(base / "home")
    took["append"] = ours("put", "file", "--append", "in@master:/file", "-f", base / "more")
    grown = stored(base / "home") - before
    ours("put", "file", "-r", "small@master:/", "-f", small)
    took["cp -r"] = run(["cp", "-r", small, base / "copied"], base)
    took["get -r"] = ours("get", "file", "-r", "small@master:/", "-o", base / "gotten")
    return took, grown


def main(mebibytes: int, rounds: int) -> None:
    print(machine())
    with tempfile.TemporaryDirectory(prefix="large-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        source, small = Path(folder, "source"), Path(folder, "small")
        large_file(source, mebibytes)
        small_files(small, SMALL)
        found = [once(Path(folder, "round"), source, small) for _ in range(rounds)]
    wall = {name: median([took[name].wall for took, _ in found]) for name in found[0][0]}
    cpu = {name: median([took[name].cpu for took, _ in found]) for name in found[0][0]}
    peers = {
        "put": (("b2sum",), 1.5),
        "append": (("put",), 0.5),
        "job": (("tr", "b2sum", "cp"), 2.0),
        "get": (("cat",), 1.25),
        "get -r": (("cp -r",), 1.0),
    }
    rows = []
    for name in wall:
        against, bar = peers.get(name, ((), 0.0))
        ratio = median([took[name].wall / sum(took[peer].wall for peer in against) for took, _ in found]) if against else None
        rows.append((name, wall[name], cpu[name], ratio or "", f"{' + '.join(against)} {verdict(ratio, bar)}" if ratio else ""))
    print(table((f"{mebibytes} MiB, or {SMALL} files", "s", "processor s", "ratio", "against"), rows))
    grown = median([size for _, size in found]) / MEBI
    print(f"\nThe store grows by {grown:.3g} MiB with an append of 1 MiB: {verdict(grown, 25)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
