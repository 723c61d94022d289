"""Finds the secrets of a pipeline that are not here, or lack the key that it wants; a cluster refuses such a pipeline."""

from __future__ import annotations

from local_runner.errors import Invalid
from local_runner.model.pipelines import Secret, Transform
from local_runner.model.secrets import values_of
from local_runner.storage.database import Session


def missing_secrets(session: Session, transform: Transform) -> list[str]:
    """One sentence for each: which secret and key are missing, what user code does without, and how to have them."""
    return list(dict.fromkeys(filter(None, (_missing(session, secret) for secret in transform.secrets))))


def _missing(session: Session, secret: Secret) -> str:
    lacks = f"variable {secret.env_var} is" if secret.env_var else f"{secret.mount_path} is" if secret.mount_path else ""
    document = session.pipelines.secret(secret.name)
    if document is None:
        what = f"secret {secret.name} is not here"
    else:
        try:
            values = values_of(document)
        except Invalid:
            return ""  # its workers say so
        if not secret.key or secret.key in values:
            return ""
        what = f"secret {secret.name} has no key {secret.key} (it has {', '.join(values) or 'none'})"
    left_out = f", so {lacks} left out" if lacks else ""
    example = f'{{"metadata": {{"name": "{secret.name}"}}, "stringData": {{"{secret.key or "KEY"}": "VALUE"}}}}'
    return f"{what}{left_out}; a cluster refuses the spec; to have it: `create secret -f FILE` with {example}"
