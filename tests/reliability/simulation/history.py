"""One history: what people do, engines that work, kills and failing disks, all chosen by a seed; the model is asked after every step."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef
from local_runner.runner import Runner
from tests.reliability.simulation.faults import Disk, Plan
from tests.reliability.simulation.model import Broken, Model, command
from tests.reliability.simulation.people import People, Step
from tests.reliability.simulation.threads import Hangs, Killed, Threads

_MOST_SWITCHES = 20_000  # of one process; more is a circle
_ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)


class History:
    """A home below `folder` and what happens to it. `said` has the steps in words, for whoever repeats it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = Random(seed)
        self.threads = Threads(self._random.randrange(1 << 30))
        self.disk = Disk(folder, self._random)
        self.disk.at_death = self._die
        self.threads.switch = self._count_switch
        self.model = Model()
        self.people = People(self.model, Random(self._random.randrange(1 << 30)), self.threads.pass_time)
        self.said: list[str] = []
        self.points = self.kills = 0
        self._ran: list[tuple[str, str]] = []  # job and datum of each execution
        self._begun: list[Step] = []  # what people have begun in this step, and did not settle yet
        self._runner: Runner | None = None
        self._usual: dict[str, int] = {}  # points of each kind of step
        self._ids = Random(self._random.randrange(1 << 30))

    # -- the whole -----------------------------------------------------------------------------------------------------

    def play(self, length: int) -> None:
        """Do so many steps, then let an engine work undisturbed to the end. Raises `Broken` or `Hangs`."""
        urandom, os.urandom = os.urandom, self._ids.randbytes
        try:
            with self.threads.patched(), self.disk.patched():
                for _ in range(length):
                    self._step_by_chance()
                self._come_to_rest()
                self._drop_runner()
        finally:
            os.urandom = urandom

    def _step_by_chance(self) -> None:
        step = Step("work", self._work) if self._random.random() < 0.4 else self.people.choose()
        self._step(step, self._plan(step.words.split()[0]) if self._random.random() < 0.6 else Plan())

    def _plan(self, kind: str) -> Plan:
        """A kill, or an error, at one of about so many points as this took before."""
        at = self._random.randrange(self._usual.get(kind, 100) + 10)
        if self._random.random() < 0.5:
            return Plan(kill_at=at)
        return Plan(fault_at=at, error=self._random.choice(_ERRORS), stays=self._random.random() < 0.3)

    def _come_to_rest(self) -> None:
        """Nothing fails any more: finish what is open, run anew what the disk spoiled, and look whether all comes out right."""
        for _ in range(4):
            for step in self.people.finish_all():
                self._step(step, Plan())
            self._step(Step("work", self._work), Plan())
            spoiled = [name for name in self.model.pipelines if self._is_spoiled(name)]
            if not spoiled:
                break
            for name in spoiled:
                self._step(self.people.rerun(name), Plan())
        self._look(lambda runner: self.model.check_rest(runner))

    def _is_spoiled(self, pipeline: str) -> bool:
        jobs = self._look(lambda runner: list(runner.list_job(pipeline=PipelineRef("default", pipeline))))
        return bool(jobs) and jobs[0].state in (JobState.FAILURE, JobState.KILLED) and str(jobs[0].job) in self.model.excused

    # -- one step ------------------------------------------------------------------------------------------------------

    def _step(self, step: Step, plan: Plan) -> None:
        self.said.append(f"{step.words}, {plan}")
        before = len(self._ran)
        done = {job: set(datums) for job, datums in self.model.done.items()}
        faults = self.disk.faults
        self._begun = [step]
        end = self._process(step, plan)
        self.points += self.disk.points
        if end == "done":
            kind = step.words.split()[0]
            self._usual[kind] = max(self.disk.points, int(self._usual.get(kind, 0) * 0.9))  # sometimes there is nothing to do
        self.said[-1] += f" -> {end}; {'; '.join(self.disk.trace)}"
        if self.threads.crashes:
            raise Broken("a thread ended with a traceback") from self.threads.crashes.pop()
        self._look(lambda runner: self._settle(runner, self.disk.faults > faults))
        again = [(job, datum) for job, datum in self._ran[before:] if datum in done.get(job, ())]
        if again:
            raise Broken(f"{len(again)} datums that were done ran again, in job {again[0][0]}")

    def _process(self, step: Step, plan: Plan) -> str:
        """Let a process do something, or part of it; says how it ended."""
        self.disk.arm(plan)
        self.threads.switches = 0
        faults = self.disk.faults
        try:
            if self._runner is None:
                self._runner = Runner.open(self.disk.home, background=False)
            step.verb(self._runner)
        except Killed:
            self.threads.end()
            self._drop_runner()
            self.disk.revive()
            self.kills += 1
            return "killed"
        except LocalRunnerError as error:
            return f"refused: {error.message}"
        except OSError as error:  # the command says what it is, and where
            return f"refused: {error}"
        except Hangs:
            self.threads.end()
            raise
        except Exception as error:
            raise Broken(f"a traceback: {error!r}") from error
        finally:
            self.disk.plan = Plan()
            if self.disk.faults > faults:
                self._drop_runner()
        step.is_done = True
        return "done"

    def _settle(self, runner: Runner, has_failed: bool) -> None:
        """Find out what became of what people began, and ask the model everything."""
        if has_failed:
            self.model.may_crash = True
            self.model.excuse(runner)
        for step in self._begun:
            step.settle(runner, step.is_done)
        self.model.see_pipelines(runner)
        self.model.check(runner, thoroughly=bool(self.disk.trace) or self._random.random() < 0.2)

    def _look(self, look: Callable[[Runner], object]) -> object:
        """As the next command would, while nothing fails."""
        with self.disk.quiet():
            if self._runner is None:
                self._runner = Runner.open(self.disk.home, background=False)
            return look(self._runner)

    def _drop_runner(self) -> None:
        if self._runner is not None:
            with self.disk.quiet():
                self._runner.close()
            self._runner = None

    def _die(self) -> None:
        self.threads.is_over = True

    def _count_switch(self) -> None:
        if self.threads.switches > _MOST_SWITCHES:
            self.threads.switches = 0
            raise Hangs("it goes round in circles")

    # -- work ----------------------------------------------------------------------------------------------------------

    def _work(self, runner: Runner) -> None:
        """An engine, until nothing is left."""
        # Only one thread runs here in any case; a lock that is none of the simulated ones would keep all waiting.
        work(runner, EngineConfig(ScriptedExecutor(self._behave, turn=contextlib.nullcontext()), 2))

    def _behave(self, datum: ScriptedDatum) -> int:
        self._ran.append((f"default/{datum.env['PPS_PIPELINE_NAME']}@{datum.env['PACH_JOB_ID']}", datum.env["PACH_DATUM_ID"]))
        self.threads.sleep(self.people.random.choice((0.0, 0.3, 0.7)))  # engines write every half second
        if self.people.random.random() < 0.12:
            self._meanwhile()
        with self.disk.quiet():
            return command(datum)

    def _meanwhile(self) -> None:
        """Somebody does something while a datum runs."""
        step = self.people.choose()
        self._begun.append(step)
        self.disk.trace.append(f"meanwhile {step.words}")
        try:
            with Runner.open(self.disk.home, background=False) as runner:
                step.verb(runner)
            step.is_done = True
        except (LocalRunnerError, OSError) as error:
            self.disk.trace.append(f"refused: {error}")
        with self.disk.quiet(), Runner.open(self.disk.home, background=False) as runner:
            step.settle(runner, step.is_done)
        self._begun.remove(step)
