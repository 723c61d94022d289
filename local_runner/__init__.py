"""Run Pachyderm pipelines on your own machine: `Runner.open()` is the way in from Python; what it raises is in `local_runner.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_runner.runner import Runner

    __version__: str

__all__ = ["Runner", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Runner` or look up the version on first use: importing the store would make `--help` twice as slow."""
    if name == "Runner":
        from local_runner.runner import Runner

        return Runner
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
