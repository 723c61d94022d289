"""Specs from jsonnet templates (reference pps 5.3), by the optional binding of Google's own jsonnet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from local_runner.errors import Invalid, LocalRunnerError, SpecError, Unavailable


def parse_args(texts: Iterable[str]) -> dict[str, str]:
    """Template arguments from `key=value`; a later one wins. Raises `Invalid`."""
    args = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f'invalid template argument "{text}": must have form "key=value"')
        args[key] = value
    return args


def render_jsonnet(text: str, source: str, args: Mapping[str, str], fetch: Callable[[str], str]) -> str:
    """The JSON a template stands for, to be read by `read_documents`: a function is called with `args`, all strings.

    What it imports by an http or https URL, `fetch` gets; clusters take imports from nowhere else.
    Raises `SpecError` for a template or arguments that do not work, and `Unavailable` without the binding.
    """
    try:
        import _jsonnet  # an extra; nothing else needs it
    except ImportError:
        message = "jsonnet templates need the jsonnet library, which is not installed"
        raise Unavailable(message, hint="pip install 'local_runner[jsonnet]'") from None

    def imported(folder: str, name: str) -> tuple[str, bytes]:
        if not name.startswith(("http://", "https://")):
            raise RuntimeError(f"{name} cannot be imported: clusters take imports from http(s) only")
        try:
            return name, fetch(name).encode()
        except LocalRunnerError as error:
            raise RuntimeError(error.message) from None

    try:
        rendered: str = _jsonnet.evaluate_snippet(source, text, tla_vars=dict(args), import_callback=imported)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        hint = "give it as --arg NAME=VALUE" if "not bound" in said else ""
        raise SpecError(f"template err: {said}", where=source, hint=hint) from None
    return rendered
