"""Reads the specs that commands are given: files, URLs, standard input, jsonnet templates (reference pps 5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from local_runner.cli.sources import STDIN, read_text
from local_runner.errors import Invalid

if TYPE_CHECKING:
    from local_runner.specs.read import SpecDocument


def read_specs(source: str, jsonnet: str = "", args: Sequence[str] = ()) -> Iterator[SpecDocument]:
    """The specs of a file, or those a template makes, one after another; standard input if neither is named.

    Raises `LocalRunnerError`; an error in the text is raised when it is reached.
    """
    from local_runner.specs.jsonnet import parse_args, render_jsonnet  # no `--help` needs specs
    from local_runner.specs.read import read_documents

    if source and jsonnet:
        raise Invalid("cannot set both --file and --jsonnet; exactly one must be set")
    if args and not jsonnet:
        raise Invalid("--arg is for templates", hint="name the template with --jsonnet")
    if jsonnet:
        text = render_jsonnet(read_text(jsonnet), jsonnet, parse_args(args), read_text)
        yield from read_documents(text, jsonnet)
    else:
        yield from read_documents(read_text(source or STDIN), "standard input" if source in ("", STDIN) else source)
