"""`Runner`, the public Python API: a method for everything that a command does, in the same words."""

from __future__ import annotations

import contextlib
import math
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from local_runner.api.arguments import check_argument, checked
from local_runner.api.datums import Datums
from local_runner.api.file_sets import FileSets
from local_runner.api.metadata import Metadata
from local_runner.api.projects import Projects
from local_runner.api.prospects import Prospects
from local_runner.api.reports import Reports
from local_runner.api.transactions import Transactions
from local_runner.errors import AlreadyExists, LocalRunnerError, NotFound
from local_runner.model.secrets import check_secret
from local_runner.pipelines.pipelines import CLUSTER_DEFAULTS, delete_pipeline
from local_runner.repos import repos as lifecycle
from local_runner.repos.check import check
from local_runner.repos.check_home import Leftover, check_home, leftovers
from local_runner.repos.findings import Finding
from local_runner.repos.gc import GcPlan, is_due, is_quick, plan_gc
from local_runner.repos.gc_sweep import Sweep
from local_runner.repos.repair import Files, mend
from local_runner.repos.repos import CURRENT_PROJECT
from local_runner.repos.transaction import Transaction
from local_runner.storage.clock import Clock, wall_clock
from local_runner.storage.database import Database, lost_transactions
from local_runner.storage.home import find_home, open_home
from local_runner.storage.retention import read_keep

if TYPE_CHECKING:
    from local_runner.search.study import Study

_PATIENCE = 60.0  # seconds for those who read what was there before
_MOMENT = 0.5  # seconds that a command may take longer for giving back room


@checked
class Runner(Prospects, Transactions, Projects, Reports, Datums, FileSets, Metadata):
    """A home, opened. Methods raise `LocalRunnerError`, also for an argument of another type than they say; those that cause work return
    at once, and an engine does it.

    Safe for several threads and processes. Use as a context manager, or `close` it.
    """

    @classmethod
    def open(
        cls,
        home: Path | None = None,
        *,
        background: bool = True,
        transactional: bool = False,
        create: bool = True,
        waiting: Callable[[str], None] = lambda holder: None,
        clock: Clock = wall_clock,
        start_engine: Callable[[Runner], None] | None = None,
    ) -> Runner:
        """Open a home: the one given, or the one `find_home` finds; it is made if it is not there (and `create`).

        With `background`, an engine is started in a process of its own when there is work and none runs, or `start_engine` is called
        in its place; without, call `engine_host.work`. With `transactional`, verbs that can join the active transaction do. `waiting`
        is told whom a write waits for. `clock` says what time it is, in seconds since the epoch.
        """
        check_argument("home", home, Path | None)
        database = Database(open_home(home or find_home(), create=create), waiting, clock)
        return cls(database, background=background, transactional=transactional, start_engine=start_engine)

    def close(self) -> None:
        """Close the home for all threads of this runner."""
        self.database.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def search(self, name: str, *, project: Path | None = None, sampler: str = "", kfolds: int = 0, seed: int | None = None) -> Study:
        """The study of [search.NAME] in the project file of a folder, or of the present one: `ask`, `tell`, `run`, `results`.

        `sampler`, `kfolds` and `seed` count in place of what is written there. Raises `NotFound` for the name, `Invalid` for what is wrong.
        """
        from local_runner.project.file import project_root, read_project
        from local_runner.search.study import open_study  # a room above this one, with heavy imports: only here

        found = read_project(project_root(project or Path.cwd()))
        return open_study(self, name, project=found, sampler=sampler, kfolds=kfolds, seed=seed)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def fsck(self, *, contents: bool = True) -> list[Finding]:
        """All that is wrong with the home; `contents` reads every byte of every file once, which is what takes time."""
        lost = self.database.lost
        found = [Finding("records", lost_transactions(self.database.home, lost))] if lost else []
        with self.database.read(damaged=True) as session:
            return found + check(session, contents=contents) + check_home(self.database.home)

    def check_storage(self, begin: bytes = b"", end: bytes = b"", *, contents: bool = False) -> int:
        """How many contents are stored whose hashes lie from `begin` on and below `end`, if that is given.

        With `contents` each is read. Raises `ContentLost` for one that is damaged, `Stopped` if nobody waits any more.
        """
        with self.database.read_apart() as session:
            names = [name for name in session.objects.names() if begin <= name and (not end or name < end)]
            for name in names if contents else ():
                self._stop.check()
                for _ in session.objects.read(name):
                    pass
        return len(names)

    def mend(self, sources: Iterable[Files] = ()) -> list[str]:
        """Mend what `fsck` finds from what is there, and say what was done and what is lost. `sources` are files of input repos."""
        return list(mend(self.database, sources))

    def leftovers(self) -> list[Leftover]:
        """What killed processes left in the home; it costs room only, and `mend` removes it."""
        return leftovers(self.database.home)

    def plan_gc(self) -> GcPlan:
        """What no commit, running job or open transaction needs."""
        keep, now = read_keep(self.home), self.database.clock()
        return plan_gc(self.database, now - keep.logs, now - keep.datums)

    def gc(self, plan: GcPlan | None = None, progress: Callable[[int], None] = lambda size: None) -> bool:
        """Remove what a plan says, or all that nobody needs, while others work; says whether all of it could go.

        Large contents stay while somebody reads what the home held before. `progress` is told the bytes that went since the last call.
        """
        return Sweep(self.database, plan or self.plan_gc(), progress).run()

    def give_back(self) -> None:
        """Collect garbage, if much of it is known: some of it at once, and the rest in a process of its own, so that nobody waits for it.

        Without `background`, all of it at once.
        """
        with self.database.read() as session:
            if not is_due(session):
                return
            now = is_quick(session) or not self._background
        seconds = _MOMENT if self._background else math.inf
        if not (now and Sweep(self.database, self.plan_gc(), seconds=seconds, patience=0.0).run()) and self._background:
            self._collector = self._start_process("-c", f"from local_runner.runner import collect; collect({str(self.home)!r})")

    def create_secret(self, document: Mapping[str, Any]) -> None:
        """A Kubernetes secret document: metadata.name, and data (base64) or stringData. Raises `Invalid`, `AlreadyExists`.

        From then on nobody but users of its group may look into the home.
        """
        name = check_secret(document)
        self.home.chmod(stat.S_IMODE(self.home.stat().st_mode) & ~stat.S_IRWXO)
        with self.database.write() as session:
            if session.pipelines.secret(name) is not None:
                raise AlreadyExists(f'secret "{name}"', hint="delete secret takes the old one away")
            session.pipelines.put_secret(name, session.clock(), document)

    def list_secret(self) -> list[tuple[str, float]]:
        """Names and times of creation."""
        return self._look(lambda session: session.pipelines.secrets())

    def inspect_secret(self, name: str) -> Mapping[str, Any]:
        """The document of a secret, with what is secret in it. Raises `NotFound`."""
        found = self._look(lambda session: session.pipelines.secret(name))
        if found is None:
            raise NotFound(f"secret {name} not found", hint="list secret says which there are")
        return found

    def delete_secret(self, name: str) -> None:
        """Forget a secret. Raises `NotFound`."""
        self.inspect_secret(name)
        with self.database.write() as session:
            session.pipelines.remove_secret(name)

    def delete_all(self) -> None:
        """Empty the home: every pipeline, repo, project, transaction, secret and default."""
        self._delete_all(_delete_pipelines, _delete_repos)
        self.delete_all_transactions()

    def delete_all_pipelines(self) -> None:
        """Every pipeline with its jobs and repos, every secret, and the defaults of all projects: the `DeleteAll` of pps."""
        self._delete_all(_delete_pipelines)

    def delete_all_repos(self) -> None:
        """Every repo and project, with the pipelines whose output they hold: the `DeleteAll` of pfs."""
        self._delete_all(_delete_repos)

    def _delete_all(self, *deletions: Callable[[Transaction], None]) -> None:
        """All pipelines are stopped first: jobs end, instead of being bereft of what they read."""
        for info in self.list_pipeline():
            self.stop_pipeline(info.pipeline)

        def work(txn: Transaction) -> None:
            for delete in deletions:
                delete(txn)

        self.change(work)


def _delete_pipelines(txn: Transaction) -> None:
    for row in txn.session.pipelines.pipelines():
        delete_pipeline(txn, row.pipeline, force=True)
    for name, _ in txn.session.pipelines.secrets():
        txn.session.pipelines.remove_secret(name)
    txn.session.repos.set_setting(CLUSTER_DEFAULTS, None)


def _delete_repos(txn: Transaction) -> None:
    for row in txn.session.pipelines.pipelines():
        txn.session.pipelines.remove_pipeline(row.pipeline)
    lifecycle.remove_repos(txn, txn.session.repos.repos(), force=True)
    for project in txn.session.repos.projects():
        lifecycle.delete_project(txn, project.name, force=True)
    txn.session.repos.set_setting(CURRENT_PROJECT, None)


def collect(home: str) -> None:
    """Collect garbage in a process of its own, with patience; does nothing if the home is gone."""
    with contextlib.suppress(LocalRunnerError), Runner.open(Path(home), background=False, create=False) as runner:
        Sweep(runner.database, runner.plan_gc(), patience=_PATIENCE).run()
