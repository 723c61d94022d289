"""`engine`: the background engine, which other commands start when they leave work to do."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from functools import partial

from local_runner.cli.app import App, command
from local_runner.cli.output import note
from local_runner.cli.settings import EXECUTOR_VARIABLE, jobs_from_environment


@command("engine", hidden=True)
def engine(app: App) -> None:
    """Work on the home until nothing is left. Started by other commands; `LOCAL_RUNNER_EXECUTOR` and `LOCAL_RUNNER_JOBS` shape it."""
    from local_runner.engine.config import EngineConfig
    from local_runner.engine_host import serve
    from local_runner.executors.table import choose
    from local_runner.project.file import dask_of, images_of
    from local_runner.runner import Runner
    from local_runner.storage.home import find_home

    # SIGTERM ends it as Ctrl-C ends a foreground run: jobs stay as they are, for the next engine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    executor, why = choose(os.environ.get(EXECUTOR_VARIABLE, "auto"), partial(dask_of, find_home()))
    note(why)
    # The home may have been removed since the command that started us: then there is nothing to do.
    with closing(executor), Runner.open(background=False, create=False) as runner:
        serve(runner, EngineConfig(executor, jobs_from_environment(executor), partial(images_of, runner.home), services=True, warn=note))
