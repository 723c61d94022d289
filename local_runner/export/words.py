"""How a datum, its pipeline and its command are named in texts for people."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.printable import printable
from local_runner.model.refs import PipelineRef

if TYPE_CHECKING:
    from local_runner.engine.datum_lookup import FoundDatum


def describe(entry: FoundDatum) -> str:
    """ "datum 7c71b022… of edges: images:/liberty.jpg"."""
    files = ", ".join(f"{file.source.name}:{file.path}" for file in entry.datum.inputs)
    return printable(f"datum {entry.datum.id} of {short(entry.spec.pipeline)}: {files}", newlines=False)


def short(pipeline: PipelineRef) -> str:
    """The name of a pipeline, with its project where that is not the default one."""
    return pipeline.name if pipeline.project == DEFAULT_PROJECT else str(pipeline)


def command_text(spec: PipelineSpec, translate: Callable[[str], str] = str) -> str:
    """The command of a spec as text for a shell."""
    words, lines = shlex.join(spec.transform.cmd), spec.transform.stdin
    end = "END"
    while end in "\n".join(lines).split("\n"):
        end += "_"
    text = "\n".join([f"{words} <<'{end}'", *lines, end]) if lines else words
    return translate(text)
