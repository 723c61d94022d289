"""Whatever is killed while datums run on a Dask cluster, workers, scheduler or engine: each datum is committed once, and nothing stays."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")

from local_runner.executors.process import ProcessExecutor
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine
from tests.support.dask_cluster import DaskCluster, dask_cluster

DATUMS = 12
LARGE = b"content " * 20_000
_ENGINE = """
import sys
from pathlib import Path
from local_runner.executors.dask.executor import DaskExecutor
from local_runner.executors.dask.settings import DaskSettings
from tests.reference.machine import Machine
executor = DaskExecutor(DaskSettings(sys.argv[2], cache=sys.argv[3], lease=2.0, executor="process"))
Machine(Path(sys.argv[1]), executor, jobs=3).run_all()
"""


class Victims:
    """A cluster and an engine of its own process, of which one after the other is killed and comes back."""

    def __init__(self, cluster: DaskCluster, home: Path, random: random.Random) -> None:
        self._cluster, self._home, self._random = cluster, home, random
        self._number = 0
        self.start_engine()

    def start_engine(self) -> None:
        words = [str(self._home), self._cluster.address, str(self._cluster.folder / "cache")]
        with (self._cluster.folder / "engine.log").open("ab") as said:
            self.engine = subprocess.Popen([sys.executable, "-c", _ENGINE, *words], stdout=said, stderr=said)

    def kill_one(self) -> None:
        what = self._random.choice(["worker", "worker", "worker", "engine", "scheduler"])
        if what == "worker":
            alive = [name for name in self._cluster.processes if name != "scheduler"]
            self._cluster.kill(self._random.choice(alive))
            self._number += 1
            self._cluster.start_worker(f"k{self._number}")
        elif what == "engine":
            self.engine.kill()
        else:
            for name in list(self._cluster.processes):
                self._cluster.kill(name)
            self._cluster.start_scheduler()
            for _ in range(3):
                self._number += 1
                self._cluster.start_worker(f"k{self._number}")
        if what == "scheduler":
            self.engine.wait(60)  # it says that its cluster is gone
        if self.engine.poll() is not None:
            self.start_engine()

    def close(self) -> None:
        self.engine.kill()
        self.engine.wait()


def test_no_datum_is_lost_or_committed_twice_however_often_something_is_killed(
    tmp_path: Path, home: Path, reliability_scale: float, seed: int
) -> None:
    kills, chance = max(4, round(20 * reliability_scale)), random.Random(seed)
    (tmp_path / "cluster").mkdir()
    machine = Machine(home, ProcessExecutor())
    machine.put("data@master", {f"/{number:02}": LARGE + str(number).encode() for number in range(DATUMS)})
    with dask_cluster(tmp_path / "cluster", 3, threads=1) as cluster:
        victims = Victims(cluster, home, chance)
        done = 0
        round_number = 0
        try:
            while done < kills:
                round_number += 1
                line = f"sleep 0.2; cp /pfs/in/* /pfs/out/; echo {round_number} >> /pfs/out/$(ls /pfs/in)"
                # Not what the kills are about: three workers lost by chance.
                machine.script("p", line, update=True, reprocess=True, datum_tries=50, parallelism_spec={"constant": 3})
                while not machine.job("p").state.is_final:
                    if victims.engine.poll() is not None:
                        victims.start_engine()
                    time.sleep(chance.uniform(0.2, 1.2))
                    if done < kills:
                        victims.kill_one()
                        done += 1
                job = machine.job("p")
                assert job.state is JobState.SUCCESS, (job.reason, machine.reasons("p"))
                assert job.counters.processed == DATUMS
                found = machine.files("p@master")
                assert {path: text.rpartition("content ")[2] for path, text in found.items()} == {
                    f"/{number:02}": f"{number}{round_number}\n" for number in range(DATUMS)
                }
        finally:
            victims.close()
    machine.close()
