"""Tree-structured Parzen estimator, by Optuna: what good points have in common is made more likely (Bergstra et al., NIPS 2011)."""

from __future__ import annotations

import warnings
from typing import Any

from local_runner.errors import Unavailable
from local_runner.model.space import Choice, Parameter, Point, Real, Space, Value
from local_runner.search.points import name_of
from local_runner.search.samplers.base import Known

_STARTUP = 10  # points at random before anything is modelled, as Optuna has it
_PART = "part"  # which part of a space with several, as a choice of its own


class TPESampler:
    """Optuna's sampler over a space with conditions. Points that are out count as bad, so that nobody asks beside them.

    Raises `Unavailable` if Optuna is not installed.
    """

    adapts = True

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._known = Known(seed)
        self._optuna = _optuna()
        self._study = self._optuna.create_study(direction="maximize", storage=self._optuna.storages.InMemoryStorage())
        self._numbers: dict[str, int] = {}  # of those that are out, in Optuna's study

    def tell(self, point: Point, score: float | None) -> None:
        self._known.tell(point, score)
        states = self._optuna.trial.TrialState
        number = self._numbers.pop(name_of(point), None)
        state = states.FAIL if score is None else states.COMPLETE
        if number is None:
            self._add(point, state, score)
        else:
            self._study.tell(number, score, state)

    def expect(self, point: Point) -> None:
        name = name_of(point)
        self._known.expect(point)
        if name in self._known.out and name not in self._numbers:
            self._numbers[name] = self._add(point, self._optuna.trial.TrialState.RUNNING, None)

    def ask(self) -> Point | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that these options may change in newer versions
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=self._known.chance().getrandbits(32), n_startup_trials=_STARTUP, multivariate=True, group=True, constant_liar=True
            )
            trial = self._study.ask()
            point = self._suggested(trial)
            # What counts as out is the point as it is written, with few digits.
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        self._known.asked(point)
        self.expect(point)
        return point

    def _suggested(self, trial: Any) -> Point:
        parts = self._space.parts
        number = trial.suggest_categorical(_PART, list(range(len(parts)))) if len(parts) > 1 else 0
        point: dict[str, Value] = {}
        for parameter in parts[number]:
            if parameter.is_active(point):
                point[parameter.name] = self._value(trial, self._name(number, parameter), parameter)
        return point

    def _value(self, trial: Any, name: str, parameter: Parameter) -> Value:
        domain = parameter.domain
        if isinstance(domain, Choice):
            place: int = trial.suggest_categorical(name, list(range(len(domain.options))))
            return domain.values()[place]
        suggest = trial.suggest_float if isinstance(domain, Real) else trial.suggest_int
        return domain.nearest(suggest(name, domain.low, domain.high, log=domain.log))

    def _add(self, point: Point, state: Any, score: float | None) -> int:
        values, distributions = self._described(point)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.add_trial(self._optuna.trial.create_trial(state=state, value=score, params=values, distributions=distributions))
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _described(self, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
        """A point as Optuna keeps it: values and distributions by name."""
        kinds = self._optuna.distributions
        number = self._space.part_of(point) or 0
        values: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        if len(self._space.parts) > 1:
            values[_PART], distributions[_PART] = number, kinds.CategoricalDistribution(list(range(len(self._space.parts))))
        for parameter in self._space.parts[number]:
            if parameter.name not in point:
                continue
            name, domain, value = self._name(number, parameter), parameter.domain, point[parameter.name]
            if isinstance(domain, Choice):
                values[name] = domain.place(value)
                distributions[name] = kinds.CategoricalDistribution(list(range(len(domain.options))))
            elif isinstance(domain, Real):
                values[name], distributions[name] = value, kinds.FloatDistribution(domain.low, domain.high, log=domain.log)
            else:
                values[name], distributions[name] = value, kinds.IntDistribution(domain.low, domain.high, log=domain.log)
        return values, distributions

    def _name(self, part: int, parameter: Parameter) -> str:
        return f"{part}.{parameter.name}" if len(self._space.parts) > 1 else parameter.name


def _optuna() -> Any:
    try:
        import optuna  # 0.3 s
    except ImportError:
        raise Unavailable("the sampler tpe needs Optuna", hint="pip install 'local_runner[search]', or --sampler random") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
