"""Values of flags that several commands take."""

from __future__ import annotations

from local_runner.errors import Invalid


def history_count(text: str) -> int:
    """How many earlier versions `--history` asks for: 0 for "none", -1 for "all". Raises `Invalid`."""
    if text in ("none", "all"):
        return 0 if text == "none" else -1
    try:
        return max(int(text), -1)
    except ValueError:
        raise Invalid(f'error parsing history flag: "{text}"', hint="write all, none or a number") from None
