"""What `doctor` says of a Dask cluster: its scheduler, and each worker with its versions and resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from local_runner.errors import LocalRunnerError
from local_runner.executors.dask.cluster import Cluster, ClusterWorker
from local_runner.executors.dask.settings import DaskSettings
from local_runner.model.units import human_size


class ClusterFinding(NamedTuple):
    """One thing that was found. `trouble` says what keeps datums from it, `remedy` what helps; "" if nothing does."""

    what: str
    here: str
    trouble: str = ""
    remedy: str = ""


def examine_cluster(settings: DaskSettings) -> Iterator[ClusterFinding]:
    """Look at the cluster with these settings. Never raises for one that cannot be used."""
    try:
        cluster = Cluster(settings)
    except LocalRunnerError as why:
        yield ClusterFinding("dask", why.message, why.message, why.hint)
        return
    try:
        workers = cluster.workers()
        bad = sum(bool(worker.trouble) for worker in workers)
        threads = sum(worker.threads for worker in workers if worker.is_usable)
        remedy = "" if workers else f"start some: dask worker {cluster.address}"
        yield ClusterFinding(
            "dask", f"{cluster.address}: {len(workers)} workers, {threads} threads", "no workers" if remedy else "", remedy
        )
        if not bad:
            cluster.prepare()
        for worker in workers:
            yield _worker(cluster, worker, is_ready=not bad)
    except LocalRunnerError as why:
        yield ClusterFinding("dask", why.message, why.message, why.hint)
    finally:
        cluster.close()


def _worker(cluster: Cluster, worker: ClusterWorker, *, is_ready: bool) -> ClusterFinding:
    what = f"dask worker {worker.name}"
    if worker.trouble:
        return ClusterFinding(what, worker.trouble, worker.trouble, "give it the same Python, dask and local_runner as this machine has")
    has = [f"{worker.threads} threads", human_size(worker.memory) if worker.memory else "no limit of memory"]
    has += [f"{name} {amount:g}" for name, amount in worker.resources.items()]
    has += [f"{name} {version}" for name, version in worker.versions.items()]
    if is_ready:
        hello = cluster.hello(worker)
        has += [f"executor {hello['executor']}", *(f"{name}={value}" for name, value in hello["devices"].items())]
    trouble = "" if worker.status == "running" else f"it is {worker.status}"
    return ClusterFinding(what, f"{worker.address}: {', '.join(has)}{f', {trouble}' if trouble else ''}", trouble)
