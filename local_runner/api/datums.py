"""Methods of `Runner` about one datum: find it, enter it again, and write it to a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_runner.api.access import Access
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.model.refs import FileQuery, JobRef, PipelineRef

if TYPE_CHECKING:  # the engine takes time to import, and only what enters datums needs it
    from local_runner.engine.datum_lookup import FoundDatum
    from local_runner.engine.datum_session import DatumSession
    from local_runner.engine.worker_request import WorkerRequests
    from local_runner.executors.base import Executor, WorkerRequest


class Datums(Access):
    """Methods about one datum."""

    def find_datum_of_job(self, job: JobRef, wanted: str = "") -> FoundDatum:
        """A datum of a job, by its id (or how it begins) or by its files, `[INPUT:]PATH[,…]`; "" is the only one there is.

        Raises `NotFound`, and `Invalid` if several are meant.
        """
        from local_runner.engine.datum_lookup import of_job

        return self._look(lambda session: of_job(session, job).entry(session, wanted))

    def find_datum_of_pipeline(self, pipeline: PipelineRef, wanted: str = "") -> FoundDatum:
        """One of the datums that a pipeline has by what its input branches hold now; `wanted` and errors as `find_datum_of_job`."""
        from local_runner.engine.datum_lookup import of_heads

        return self._look(lambda session: of_heads(session, pipeline).entry(session, wanted))

    def find_datum_of_spec(
        self, document: Mapping[str, Any], wanted: str = "", *, project: str, pipeline: PipelineRef | None = None
    ) -> FoundDatum:
        """One of the datums of a spec that is no pipeline, or of `pipeline` with what the document says in place of its own.

        A document that has no other field of a spec is the input itself. `wanted` and errors as `find_datum_of_job`, and `SpecError`.
        """
        from local_runner.engine.datum_lookup import of_spec

        return self._look(lambda session: of_spec(session, document, project, pipeline).entry(session, wanted))

    def find_datum_of_file(self, file: FileQuery) -> FoundDatum:
        """The datum that wrote a file, in the job that ran it. Raises `NotFound`, `Refused` for a file that people put or a folder."""
        from local_runner.engine.datum_lookup import of_file

        return self._look(lambda session: of_file(session, file))

    @contextmanager
    def open_datum(self, found: FoundDatum, executor: Executor) -> Iterator[DatumSession]:
        """The datum laid out in a worker of its own, until the block ends. Nothing of it is kept.

        Raises `Invalid` for a spec without a command, and what opening a worker raises.
        """
        from local_runner.engine.datum_session import open_datum_session

        if not found.spec.transform.cmd:
            raise Invalid(f"pipeline {found.spec.pipeline} has no transform.cmd", hint="without one there is nothing to run")
        requests = self._requests(executor)
        make, withheld = requests.of(found.spec, found.spec_commit), partial(requests.withheld, found.spec)
        with open_datum_session(self.database, executor, make, found, withheld) as session:
            yield session

    def export_datum(self, found: FoundDatum, folder: Path, executor: Executor) -> None:
        """Write a datum to a folder that is empty or not there: inputs, code, environment and a script that runs it, with nothing of ours.

        `executor` says which environment it has. Raises `Refused`.
        """
        from local_runner.export.folder import write_folder

        request = self._request(found, executor)
        self._look(lambda session: write_folder(session, found, request, folder))

    def export_test(self, found: FoundDatum, file: Path | None, executor: Executor) -> Path:
        """Write a test for pytest: what the code makes of the datum's inputs is to be what was committed of it. Returns its file.

        Inputs and output go to a folder beside it, of the same name. Raises `Refused` without an output of the same inputs, or if the
        file is there.
        """
        from local_runner.export.pytest_file import write_test

        request = self._request(found, executor)
        return self._look(lambda session: write_test(session, found, request, file))

    def changed_code(self, found: FoundDatum) -> list[str]:
        """The files and fields that changed since its version of the pipeline was made, as far as that is known."""
        from local_runner.planning.changes import code_changes
        from local_runner.project.file import read_project
        from local_runner.project.update import code_of

        if not found.code:
            return []
        try:
            now = code_of(read_project(self.home.parent), found.spec)
        except LocalRunnerError:  # the worker will say it better
            return []
        return [cause.name for cause in code_changes(found.code, now)]

    def _request(self, found: FoundDatum, executor: Executor) -> WorkerRequest:
        """What a worker would be asked for, in folders that are not there."""
        return self._requests(executor).of(found.spec, found.spec_commit)("datum", Path("/pfs"), Path("/pfs"), 0)

    def _requests(self, executor: Executor) -> WorkerRequests:
        from local_runner.engine.config import EngineConfig
        from local_runner.engine.worker_request import WorkerRequests
        from local_runner.project.file import images_of

        config = EngineConfig(executor, images=partial(images_of, self.home))
        return WorkerRequests(self.database, config)
