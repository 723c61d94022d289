"""An engine in this process: who may be one, with which executor, and what its workers are asked for."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.engine.batching import Attendants
from local_runner.engine.environment import host_env, worker_env
from local_runner.engine.loop import SOMEBODY_ELSE, Engine
from local_runner.engine.observers import Observer, Silent
from local_runner.engine.pool import Staffing
from local_runner.engine.slots import MakeRequest
from local_runner.errors import Busy, Invalid
from local_runner.executors.base import Executor, Pachctl, WorkerRequest
from local_runner.executors.images import ImageSource, image_digest, image_folder, image_notes, read_image
from local_runner.executors.resources import Resources, read_resources
from local_runner.model.jobs import JobInfo
from local_runner.model.pipelines import TRANSFORM, PipelineSpec
from local_runner.model.secrets import values_of
from local_runner.project import read_project
from local_runner.runner import Runner
from local_runner.storage.database import Database
from local_runner.storage.home import VARIABLE
from local_runner.storage.locks import FileLock
from local_runner.storage.pipeline_records import PipelineRow
from local_runner.storage.workers import leave_place, make_place

_PACKAGE = Path(__file__).parent
# How user code is given the network: for a pipeline by an annotation in the `metadata` of its spec, for all by a variable.
_NETWORK_ANNOTATION, _NETWORK_VARIABLE = "local_runner/network", "LOCAL_RUNNER_NETWORK"
LINGER = 3.0  # seconds a background engine waits for more: starting another takes 0.3
_HANDOVER = 3.0  # seconds an engine that is asked to give way has before anybody is told


@dataclass(frozen=True, slots=True)
class Crew:
    """How an engine works: the executor, datums at once over all pipelines, and the folders behind images (name without tag -> folder).

    `images` is asked again for each worker that is hired and each job that begins: an engine may live for days, and see edits.
    With `residents` it lets spouts and services run as well, and then stays for ever: that is for engines in the background.
    `may_begin`, `ignore_failures` and `attendants` are as in `Staffing`. `warn` is told what is wrong but stops nobody.
    """

    executor: Executor
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    images: Callable[[], Mapping[str, Path]] = dict
    observer: Observer = field(default_factory=Silent)
    residents: bool = False
    may_begin: Callable[[JobInfo], bool] = lambda info: True
    ignore_failures: bool = False
    attendants: Attendants = field(default_factory=Attendants)
    warn: Callable[[str], None] = lambda text: None


@contextlib.contextmanager
def engine_of(runner: Runner, crew: Crew, *, waiting: Callable[[str], None] | None = None) -> Iterator[Engine]:
    """Be the engine of a home until the block ends. Raises `Busy` if somebody else is.

    With `waiting` its turn is waited for instead: an engine in the background is asked to give way as soon as no job is under way
    there, and `waiting` is told who it is if that takes long.
    """
    lock = FileLock(runner.database.home.engine_lock)
    collector = gc.get_threshold()
    # Somebody who merely looks whether it is taken holds it for a moment, too.
    if not lock.try_acquire(patience=0.2):
        if waiting is None:
            raise Busy(f"{lock.holder()} is at work in {runner.home}", hint="wait for it, or end it")
        _take_over(runner.database, lock, waiting)
    try:
        # A job makes a million small values that stay: looking through them again and again took half its planning (0.8 s of 1.5
        # for 60 000 datums). What goes round in circles is little, and may wait.
        gc.set_threshold(200_000, 20, 100)
        _withdraw(runner.database)
        make_place(runner.database.home, crew.warn)
        requests = _Requests(runner.database, crew)
        staffing = Staffing(
            crew.executor,
            crew.jobs,
            requests.make,
            crew.observer,
            crew.residents,
            crew.may_begin,
            crew.ignore_failures,
            requests.remarks,
            crew.attendants,
        )
        with Engine(runner.database, staffing) as engine:
            yield engine
    finally:
        gc.set_threshold(*collector)
        leave_place(runner.database.home)
        lock.release()


def _take_over(database: Database, lock: FileLock, waiting: Callable[[str], None]) -> None:
    with database.write() as session:
        session.repos.set_setting(SOMEBODY_ELSE, "yes")
    try:
        lock.acquire(waiting, patience=_HANDOVER)
    except BaseException:  # Ctrl-C
        _withdraw(database)
        raise


def _withdraw(database: Database) -> None:
    with database.read() as session:
        wanted = session.repos.setting(SOMEBODY_ELSE)
    if wanted:
        with database.write() as session:
            session.repos.set_setting(SOMEBODY_ELSE, None)


def request_for(runner: Runner, crew: Crew, spec: PipelineSpec, spec_commit: str) -> MakeRequest:
    """What the engine would ask for a worker of a spec for, to those who are not the engine."""
    return _Requests(runner.database, crew).of(spec, spec_commit)


def work(runner: Runner, crew: Crew, until: Callable[[], bool] = lambda: False) -> None:
    """Do, in this process, all work there is. Raises `Busy`."""
    with engine_of(runner, crew) as engine:
        engine.work(until=until)


def serve(runner: Runner, crew: Crew) -> None:
    """Be a background engine: work until nothing was left for a while. Returns at once if there is another."""
    while True:
        try:
            with engine_of(runner, crew) as engine:
                engine.work(linger=LINGER)
        except Busy:
            return
        if engine.gave_way:
            return
        # Whoever left work after the last look saw the lock taken, and relies on us.
        if not runner.has_work():
            return


def images_of(home: Path) -> Mapping[str, Path]:
    """The folders behind images that the project around a home names."""
    return read_project(home.parent).images


@dataclass(frozen=True, slots=True)
class _Requests:
    """Makes what a worker of a pipeline is asked for."""

    database: Database
    crew: Crew

    def make(self, row: PipelineRow, spec: PipelineSpec) -> MakeRequest:
        return self.of(spec, row.spec_commit)

    def of(self, spec: PipelineSpec, spec_commit: str) -> MakeRequest:
        transform = spec.transform

        def request(worker: str, pfs: Path, folder: Path, port: int) -> WorkerRequest:
            image = image_source(self.crew.images(), transform.image)
            # A container has what its image says, and nothing of the host.
            below = {} if self.crew.executor.capabilities.needs_image else host_env() | dict(image.env if image else {})
            env = worker_env(
                spec,
                below,
                self._secrets(spec),
                home=None if self.crew.executor.capabilities.hides_host_files else self.database.home.path,
                worker=worker,
                port=port,
                spec_commit=spec_commit,
            )
            return WorkerRequest(
                name=worker,
                pfs=pfs,
                folder=folder,
                env=env,
                image=transform.image,
                code=image.code if image else {},
                mounts=self._secret_files(spec, folder),
                visible=(Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix)),
                hidden=(self.database.home.path, *(place.parent for place in self.database.home.workers)),
                pachctl=self._pachctl(env),
                working_dir=image.working_dir if image else "/",
                user=transform.user,
                digest=image_digest(image) if image else "",
                resources=_resources(spec),
                network=may_use_network(spec),
            )

        return request

    def _pachctl(self, env: Mapping[str, str]) -> Pachctl:
        """It works on this home, as the worker whose environment this is: to a spout's output only its own may write."""
        ours = {name: env[name] for name in ("PPS_PROJECT_NAME", "PPS_PIPELINE_NAME", "PPS_SPEC_COMMIT")}
        path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))))
        variables = {**ours, VARIABLE: str(self.database.home.path), "PYTHONPATH": path}
        python = (sys.executable, "-P", "-m")
        return Pachctl((*python, "local_runner"), (*python, "local_runner.cli.answer"), variables)

    def remarks(self, spec: PipelineSpec) -> list[str]:
        """What the log of a job says about its image, and about limits that are not kept; what is wrong, its workers will say."""
        executor = self.crew.executor
        said = []
        with contextlib.suppress(Invalid):
            if _resources(spec).memory and not executor.capabilities.limits_memory:
                said.append(f"resource_limits.memory: the executor {executor.name} cannot limit memory here")
            if not executor.capabilities.needs_image:
                said += image_notes(spec.transform.image, self.crew.images())
        return said

    def _secrets(self, spec: PipelineSpec) -> dict[str, str]:
        """Secrets that become variables. Raises `Invalid`."""
        wanted = [secret for secret in spec.transform.secrets if secret.env_var]
        found = {secret.env_var: self._secret(secret.name).get(secret.key) for secret in wanted}
        return {name: _as_variable(name, value) for name, value in found.items() if value is not None}

    def _secret_files(self, spec: PipelineSpec, folder: Path) -> dict[str, Path]:
        """Secrets that become folders, with a file for each key; made below `folder`, which is the worker's alone. Raises `Invalid`."""
        mounts = {}
        for number, secret in enumerate(spec.transform.secrets):
            content = self._secret(secret.name)
            if secret.mount_path and content:
                place = folder / "secrets" / str(number)
                place.mkdir(parents=True)
                for key, value in content.items():
                    (place / key).write_bytes(value)
                mounts[os.path.normpath(os.path.join("/", secret.mount_path))] = place
        return mounts

    def _secret(self, name: str) -> dict[str, bytes]:
        """What it holds; nothing for one that does not exist. Raises `Invalid` for one that could not be kept today."""
        with self.database.read() as session:
            document = session.pipelines.secret(name) or {}
        try:
            return values_of(document)
        except Invalid as why:
            raise Invalid(f"secret {name!r} cannot be given to a pipeline: {why.message}", hint="delete it, and create it anew") from None


def _as_variable(name: str, value: bytes) -> str:
    """Raises `Invalid`."""
    with contextlib.suppress(UnicodeDecodeError):
        if b"\0" not in value:
            return value.decode()
    raise Invalid(f"the secret for {name} is no text, so it cannot be a variable", hint="give it a mount_path instead of an env_var")


def _resources(spec: PipelineSpec) -> Resources:
    return read_resources(spec.document.get("resourceRequests") or {}, spec.document.get("resourceLimits") or {})


def may_use_network(spec: PipelineSpec) -> bool:
    """Whether user code sees the network: that of spouts and services is there for it; any other has to ask for it."""
    asked = ((spec.document.get("metadata") or {}).get("annotations") or {}).get(_NETWORK_ANNOTATION, os.environ.get(_NETWORK_VARIABLE, ""))
    return spec.kind != TRANSFORM or asked.lower() in ("1", "true", "yes")


def image_source(images: Mapping[str, Path], image: str) -> ImageSource | None:
    """What stands behind an image, if the project has its folder; the tag does not count."""
    folder = image_folder(image, images)
    return read_image(folder) if folder else None
