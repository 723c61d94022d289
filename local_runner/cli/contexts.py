"""Contexts, by which pachctl tells clusters apart: here there is one."""

from __future__ import annotations

import os

from local_runner.errors import NotFound

CONTEXT = "default"
VARIABLE = "PACH_CONTEXT"


def chosen_context() -> str:
    """The name of the context in use, by `PACH_CONTEXT` if that is set. Raises `NotFound` if it names another than there is."""
    if os.environ.get(VARIABLE, CONTEXT) != CONTEXT:
        raise NotFound(
            f"{VARIABLE} refers to a context ({os.environ[VARIABLE]!r}) that does not exist",
            hint=f"unset {VARIABLE}: this runner is no cluster, and has the context {CONTEXT} only",
        )
    return CONTEXT


def check_context(name: str) -> None:
    """Raises `NotFound` for a name of another context than there is; none is that in use."""
    if name not in ("", CONTEXT):
        raise NotFound(f"context does not exist: {name}", hint=f"there is one, {CONTEXT}")
