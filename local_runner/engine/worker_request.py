"""Builds the request for a worker: variables, secrets, image, resources, network, `pachctl`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_runner.engine.config import EngineConfig
from local_runner.engine.environment import worker_env
from local_runner.engine.hindrances import MERGED, NETWORK_ANNOTATION, NETWORK_VARIABLE, READ_ONLY, Withheld
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.executors.base import Pachctl, WorkerRequest
from local_runner.executors.host_env import host_env
from local_runner.executors.resources import Resources, read_resources
from local_runner.images.choice import Way, choose_image, notes_of
from local_runner.images.folder import image_digest, image_notes, image_source
from local_runner.model.inputs import leaves
from local_runner.model.pipelines import TRANSFORM, PipelineSpec
from local_runner.model.secrets import values_of
from local_runner.pipelines.missing_secrets import missing_secrets
from local_runner.specs.notes import odd_quantities
from local_runner.storage.database import Database
from local_runner.storage.home import VARIABLE

MakeRequest = Callable[[str, Path, Path, int], WorkerRequest]  # worker name, its /pfs, its folder on a disk, port of NextDatum
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class WorkerRequests:
    """Makes the `WorkerRequest` of each worker of a pipeline: its environment, secrets, image, resources and network."""

    database: Database
    config: EngineConfig

    def of(self, spec: PipelineSpec, spec_commit: str, number: int = 0) -> MakeRequest:
        """What makes the request of a worker of this version, by its name and folders; `number` is its own among them."""
        transform = spec.transform

        def request(worker: str, pfs: Path, folder: Path, port: int) -> WorkerRequest:
            folders = self.config.images()
            host = {**host_env(), **self.config.env}
            image = image_source(folders, transform.image, host)
            way = choose_image(transform.image, folders, self.config.executor).way
            # An image that is run as it is has what it says, and nothing of the host.
            below = {} if way in (Way.CONTAINER, Way.KEPT) else {**host, **(image.env if image else {})}
            env = worker_env(
                spec,
                {**below, **self.config.env_of_worker(number)},
                self._secrets(spec),
                home=None if self.config.executor.capabilities.hides_host_files else self.database.home.path,
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
                rootfs=transform.image if way is Way.KEPT else "",
                in_container=way is Way.CONTAINER,
                code=image.code if image else {},
                mounts=self._secret_files(spec, folder),
                visible=(Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix)),
                hidden=(self.database.home.path, *(place.parent for place in self.database.home.workers)),
                pachctl=self._pachctl(env),
                working_dir=image.working_dir if image else "/",
                user=transform.user,
                digest=image_digest(image) if image else "",
                resources=_resources(spec),
                network=may_use_network(spec, all_may=self.config.network),
            )

        return request

    def _pachctl(self, env: Mapping[str, str]) -> Pachctl:
        """The commands behind `pachctl` in a worker. Its environment names the pipeline: only a spout's own worker writes its output."""
        ours = {name: env[name] for name in ("PPS_PROJECT_NAME", "PPS_PIPELINE_NAME", "PPS_SPEC_COMMIT")}
        path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))))
        variables = {**ours, VARIABLE: str(self.database.home.path), "PYTHONPATH": path}
        python = (sys.executable, "-P", "-m")
        return Pachctl((*python, "local_runner"), (*python, "local_runner.cli.pachctl_inside"), variables)

    def remarks(self, spec: PipelineSpec) -> list[str]:
        """Notes for the log of a job about its image and about limits that are not enforced; errors are left to its workers."""
        executor = self.config.executor
        said = list(odd_quantities(spec))
        with contextlib.suppress(Invalid):
            if _resources(spec).memory and not executor.capabilities.limits_memory:
                said.append(f"resource_limits.memory: the executor {executor.name} cannot limit memory here")
            said += notes_of(spec.transform.image, self.config.images(), executor)
        return said

    def withheld(self, spec: PipelineSpec) -> Withheld:
        """What the user code of a spec does without; of what cannot be found out, nothing is said."""
        executor, way, lack, not_built, secrets = self.config.executor, Way.CONTAINER, "", list[str](), list[str]()
        with contextlib.suppress(LocalRunnerError):
            folders = self.config.images()
            choice = choose_image(spec.transform.image, folders, executor)
            way, lack = choice.way, choice.words if choice.is_lack else ""
            not_built = image_notes(spec.transform.image, folders) if way is Way.FOLDER else []
        with contextlib.suppress(LocalRunnerError), self.database.read() as session:
            secrets = missing_secrets(session, spec.transform)
        return Withheld(
            cmd=spec.transform.cmd,
            inputs=[leaf.name for leaf in leaves(spec.input)],
            missing_image=lack,
            not_built=not_built,
            missing_secrets=secrets,
            has_network=not executor.capabilities.limits_network or may_use_network(spec, all_may=self.config.network),
            memory=_resources(spec).memory if executor.capabilities.limits_memory else 0,
            limits_processes=executor.capabilities.limits_processes,
            read_only=_read_only(way) if executor.capabilities.hides_host_files else "",
        )

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
        """The values of a secret; empty if it does not exist. Raises `Invalid` for one that is malformed."""
        with self.database.read() as session:
            document = session.pipelines.secret(name) or {}
        try:
            return values_of(document)
        except Invalid as why:
            raise Invalid(f"secret {name!r} cannot be given to a pipeline: {why.message}", hint="delete it, and create it anew") from None


def _as_variable(name: str, value: bytes) -> str:
    """The value of a secret as text for a variable. Raises `Invalid`."""
    with contextlib.suppress(UnicodeDecodeError):
        if b"\0" not in value:
            return value.decode()
    raise Invalid(f"the secret for {name} is no text, so it cannot be a variable", hint="give it a mount_path instead of an env_var")


def _read_only(way: Way) -> str:
    """Which files user code cannot write to. Of an image that is kept here it may write to all, where its layers can be stacked."""
    return "" if way is Way.CONTAINER else MERGED if way is Way.KEPT else READ_ONLY


def _resources(spec: PipelineSpec) -> Resources:
    return read_resources(spec.document.get("resourceRequests") or {}, spec.document.get("resourceLimits") or {})


def may_use_network(spec: PipelineSpec, *, all_may: bool = False) -> bool:
    """Whether user code gets the host's network: always for spouts and services, for others only on request.

    Its spec decides; where that says nothing, the environment does, or `all_may`.
    """
    declared = ((spec.document.get("metadata") or {}).get("annotations") or {}).get(NETWORK_ANNOTATION)
    if declared is None:
        declared = "true" if all_may else os.environ.get(NETWORK_VARIABLE, "")
    return spec.kind != TRANSFORM or declared.lower() in ("1", "true", "yes")
