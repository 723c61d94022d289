"""One job of one pipeline, for tests of its datums."""

from tests.support.lab import Do, Lab


def run_once(lab: Lab, do: Do, files: dict[str, str | bytes | None] | None = None, **fields: object) -> None:
    """One job of a pipeline "p" over `/*` of these files."""
    lab.put("data@master", files or {"/a": "1"})
    lab.pipeline("p", do=do, **fields)  # type: ignore[arg-type]
    lab.run_all()
