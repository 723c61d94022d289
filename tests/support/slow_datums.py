"""From an input expression to datums, slowly and obviously: lists, loops and hashlib, straight from the reference (pps 1.4, 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from local_runner.model.datums import InputFile
from local_runner.model.inputs import Cron, Cross, Group, Input, Join, Pfs, Union

Files = list[InputFile]
Meta = tuple[str, int, Files]  # id, index, inputs
FilesOf = Callable[[Pfs | Cron], Sequence[InputFile]]


def slow_datums(expression: Input, files_of: FilesOf) -> list[Meta]:
    """Datums as (id, index, inputs) in ascending order of id."""
    found: list[Meta] = []
    written = [(_id(files), index, files) for index, files in _appended(expression, files_of)]
    # The sort is stable, so of equal ids the first that was written stays first, and is the one that is read.
    for meta in sorted(written, key=lambda meta: meta[0]):
        if not found or found[-1][0] != meta[0]:
            found.append(meta)
    return found


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=32).hexdigest()


def _id(files: Files) -> str:
    content = b""
    for file in files:
        branch = file.source.branch if isinstance(file.source, Pfs) else "master"
        for text in (file.source.name, file.source.repo, branch, file.path):
            content += text.encode() + len(text.encode()).to_bytes(8, "big")
    return _hash(content)


def _appended(expression: Input, files_of: FilesOf) -> Iterator[tuple[int, Files]]:
    """What a stage writes, in the order it writes it, before equal ids collapse."""
    if isinstance(expression, Pfs | Cron):
        for index, file in enumerate(files_of(expression)):
            yield index, [file]
        return
    children = [slow_datums(child, files_of) for child in expression.children]
    if isinstance(expression, Union):
        for child in children:
            for _, index, files in child:
                yield index, files
    elif isinstance(expression, Cross):
        yield from enumerate(_combinations([[files for _, _, files in child] for child in children]))
    else:
        flat = [[file for _, _, files in child for file in files] for child in children]
        for key in sorted({_key(expression, file) for files in flat for file in files}, key=lambda key: _hash(key.encode())):
            chosen = [[file for file in files if _key(expression, file) == key] for files in flat]
            for combined in _merged(expression, chosen):
                yield 0, combined


def _key(expression: Join | Group, file: InputFile) -> str:
    return file.join_on if isinstance(expression, Join) else file.group_by


def _merged(expression: Join | Group, chosen: list[Files]) -> Iterator[Files]:
    if isinstance(expression, Group):
        yield [file for files in chosen for file in files]
        return
    present = [files for files in chosen if files]
    for combination in _combinations([[[file] for file in files] for files in present]):
        outer = [file for file in combination if isinstance(file.source, Pfs) and file.source.outer_join]
        if len(present) == len(chosen):
            yield combination
        elif outer:
            yield outer


def _combinations(children: list[list[Files]]) -> list[Files]:
    """All combinations, the first child outermost."""
    if not children:
        return [[]]
    return [files + rest for files in children[0] for rest in _combinations(children[1:])]
