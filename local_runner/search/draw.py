"""Results as pictures, SVG or PNG; the numbers of each are in a table beside it. matplotlib is imported when something is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_runner.errors import Invalid, Unavailable
from local_runner.model.space import Choice, Value, show_value
from local_runner.search.importance import importance
from local_runner.search.results import Results
from local_runner.search.speedup import predict
from local_runner.search.trials import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = tuple[list[str], list[list[str]]]
_WORKERS = 8  # up to so many a speed-up is predicted
_SHOWN = 30  # trials in a picture of each of them


def draw(results: Results, kind: str, file: Path) -> Path:
    """Write a picture as its ending says (.svg or .png), and beside it the table of its numbers (.csv), whose path is returned.

    Raises `Invalid` for a kind or ending that is none, or results that cannot be drawn so; `Unavailable` without matplotlib.
    """
    if file.suffix not in (".svg", ".png"):
        raise Invalid(f"{file} is neither .svg nor .png", hint="the ending says what kind of file it is to be")
    figure, table = picture(results, kind)
    figure.savefig(file, format=file.suffix[1:], dpi=120)
    beside = file.with_suffix(".csv")
    beside.write_text("".join(",".join(map(_quoted, row)) + "\n" for row in [table[0], *table[1]]))
    return beside


def svg_of(results: Results, kind: str) -> str:
    """A picture as text for a notebook. Raises as `draw` does."""
    text = io.StringIO()
    picture(results, kind)[0].savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]


def picture(results: Results, kind: str) -> tuple[Figure, Table]:
    """A picture and the table of its numbers."""
    if kind not in KINDS:
        raise Invalid(f"there is no picture {kind}", hint=f"it is one of {', '.join(KINDS)}")
    if not results.done:
        raise Invalid("no point has a score yet, so there is nothing to draw", hint=f"run it first: search {results.settings.name}")
    figure, axes = new_figure()
    table = KINDS[kind](axes, results)
    return figure, table


def new_figure() -> tuple[Figure, Axes]:
    """A figure with one pair of axes. Raises `Unavailable` without matplotlib."""
    try:
        from matplotlib.figure import Figure  # without pyplot nothing is global, and no window opens
    except ImportError:
        raise Unavailable("drawing needs matplotlib", hint="pip install 'local_runner[plot]'") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes: Axes = figure.add_subplot()
    return figure, axes


def history(axes: Axes, results: Results) -> Table:
    """The score of each trial, in order, and the best so far."""
    trials = [trial for trial in results.in_order if not math.isnan(trial.score)]
    scores, best = [trial.score for trial in trials], _best_so_far(results, trials)
    axes.plot(range(1, len(scores) + 1), scores, "o", alpha=0.5, label="a point")
    axes.step(range(1, len(scores) + 1), best, where="post", label="best so far")
    axes.set(xlabel="points tried", ylabel=results.settings.score.field, title=f"{results.settings.name}: how the best was found")
    axes.legend()
    rows = zip(trials, scores, best, strict=True)
    return ["trial", "point", "score", "best"], [[str(n), t.name, repr(s), repr(b)] for n, (t, s, b) in enumerate(rows, 1)]


def _best_so_far(results: Results, trials: Sequence[Trial]) -> list[float]:
    best: list[float] = []
    for trial in trials:
        best.append((max if results.settings.maximize else min)([*best[-1:], trial.score]))
    return best


def heat(axes: Axes, results: Results) -> Table:
    """The best score for each pair of values of the two parameters that matter most; ties for the best are marked."""
    names = [name for name, _ in importance(results) if len({show_value(t.point[name]) for t in results.done if name in t.point}) > 1][:2]
    if len(names) < 2:
        raise Invalid("a heat map needs two parameters with several values each", hint="draw history instead")
    x, y = sorted(names, key=results.names.index)
    columns, rows = _values(results, x), _values(results, y)
    cells: dict[tuple[str, str], float] = {}
    for trial in results.done:
        if x in trial.point and y in trial.point:
            at = show_value(trial.point[x]), show_value(trial.point[y])
            cells[at] = (max if results.settings.maximize else min)(cells.get(at, trial.score), trial.score)
    grid = [[cells.get((show_value(column), show_value(row)), math.nan) for column in columns] for row in rows]
    shown = axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis")
    axes.figure.colorbar(shown, ax=axes, label=results.settings.score.field)
    axes.set_xticks(range(len(columns)), [show_value(value) for value in columns], rotation=45)
    axes.set_yticks(range(len(rows)), [show_value(value) for value in rows])
    best = results.winners[0].score
    for line, row in enumerate(grid):
        for place, value in enumerate(row):
            if value == best:
                axes.text(place, line, "★", ha="center", va="center", color="red")
    axes.set(xlabel=x, ylabel=y, title=f"{results.settings.name}: best score for {x} and {y}; ★ the best")
    return [f"{y} \\ {x}", *map(show_value, columns)], [
        [show_value(row), *("" if math.isnan(v) else repr(v) for v in line)] for row, line in zip(rows, grid, strict=True)
    ]


def parallel(axes: Axes, results: Results) -> Table:
    """A line for each trial through its values, the better the brighter."""
    names = results.names
    scores = [trial.score for trial in results.done]
    low, high = min(scores), max(scores)
    from matplotlib import colormaps

    for trial in reversed(results.done):
        heights = [_height(results, name, trial.point.get(name)) for name in names]
        share = 0.5 if high == low else (trial.score - low) / (high - low)
        share = share if results.settings.maximize else 1 - share
        axes.plot(range(len(names)), heights, color=colormaps["viridis"](share), alpha=0.3 + 0.7 * share)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    for place, name in enumerate(names):
        values = _values(results, name)
        for value in values if len(values) <= 6 else (values[0], values[-1]):
            axes.text(place, _height(results, name, value), show_value(value), fontsize=8)
    axes.set(title=f"{results.settings.name}: all points, the better the brighter")
    return ["point", *names, "score"], [
        [trial.name, *(show_value(trial.point.get(name, "")) for name in names), repr(trial.score)] for trial in results.done
    ]


def importances(axes: Axes, results: Results) -> Table:
    """How much of the differences between scores each parameter explains by itself."""
    found = importance(results)
    axes.barh([name for name, _ in reversed(found)], [share for _, share in reversed(found)])
    axes.set(xlabel="share of the variance of scores", title=f"{results.settings.name}: what matters")
    return ["parameter", "share"], [[name, f"{share:.4f}"] for name, share in found]


def folds(axes: Axes, results: Results) -> Table:
    """The scores of each fold, for the best points."""
    if not results.folds:
        raise Invalid("there are no folds to draw", hint="draw history instead")
    best = results.done[:_SHOWN]
    axes.boxplot([[score.value for score in trial.scores] for trial in best], orientation="horizontal")
    axes.set_yticks(range(1, len(best) + 1), [" ".join(map(show_value, trial.point.values())) for trial in best], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel=f"{results.settings.score.field} on each fold", title=f"{results.settings.name}: the best {len(best)}, fold by fold")
    return ["point", *results.folds], [[trial.name, *(repr(score.value) for score in trial.scores)] for trial in best]


def speedups(axes: Axes, results: Results) -> Table:
    """How much quicker more workers would be, by the durations of the datums as they ran, and where it would end: the longest datum."""
    durations = [seconds for trial in results.in_order for seconds in results.effort(trial).times]
    if not durations:
        raise Invalid("it is not known how long datums took", hint="draw history instead")
    found = [predict(durations, workers) for workers in range(1, _WORKERS + 1)]
    draw_speedup(axes, {"predicted": [(one.workers, one.speedup) for one in found]})
    axes.set(title=f"{results.settings.name}: predicted from {len(durations)} datums, {sum(durations):.3g} s of work")
    header = ["workers", "seconds", "speed-up", "idle share", "longest datum"]
    return header, [[str(p.workers), *(f"{v:.4g}" for v in (p.seconds, p.speedup, p.idle_share, p.longest))] for p in found]


def draw_speedup(axes: Axes, lines: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Lines of (workers, how much quicker than one), beside the line of what is ideal."""
    most = max(workers for line in lines.values() for workers, _ in line)
    axes.plot([1, most], [1, most], "--", color="grey", label="ideal")
    for name, line in lines.items():
        axes.plot([workers for workers, _ in line], [speedup for _, speedup in line], "o-", label=name)
    axes.set(xlabel="workers", ylabel="speed-up against one worker")
    axes.set_xticks(range(1, most + 1))
    axes.legend()


def _values(results: Results, name: str) -> list[Value]:
    """Those that were tried: numbers by size, others as the space lists them."""
    found = {show_value(trial.point[name]): trial.point[name] for trial in results.done if name in trial.point}
    numbers = [value for value in found.values() if isinstance(value, (int, float))]
    if len(numbers) == len(found):
        return sorted(numbers)
    space = results.settings.space
    listed = [p.domain.values() for part in (space.parts if space else ()) for p in part if p.name == name and isinstance(p.domain, Choice)]
    order = [show_value(value) for values in listed for value in values]
    return sorted(found.values(), key=lambda value: order.index(show_value(value)) if show_value(value) in order else len(order))


def _height(results: Results, name: str, value: Value | None) -> float:
    """Where a value stands on its axis, from 0 to 1: by its rank; below the axis if the point has none."""
    values = [show_value(one) for one in _values(results, name)]
    return -0.1 if value is None else values.index(show_value(value)) / max(len(values) - 1, 1)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(letter in cell for letter in ',"\n') else cell


KINDS: Mapping[str, Callable[[Any, Results], Table]] = {
    "history": history, "heat": heat, "parallel": parallel, "importance": importances, "folds": folds,
    "speedup": speedups,
}  # fmt: skip
