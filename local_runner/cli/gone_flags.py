"""Flags of earlier versions of pachctl that its commands lost, each with what to do today."""

from __future__ import annotations

from collections.abc import Mapping

_OVERWRITES = "leave it out: files are replaced since Pachyderm 2.0, and -a appends"
_ALL_SHOWN = "leave it out: all are listed"
_NOT_TOLD = "commits have one text: write `start commit REPO@BRANCH -m TEXT` before"
_IMAGES = "write `build image`; an image is the folder that [images] of local_runner.toml names"
_NO_REGISTRY = "leave it out: no registry is asked, an image is the folder that [images] of local_runner.toml names"
_AT_ONCE = "leave it out: what a transaction changes is changed at once, whatever its size"
_BRANCH = "write the branch with the repo: `start commit REPO@BRANCH`"
_COMPLETION = "write `completion bash`, and load what it prints as `help completion` says"
_SINCE = "write `diff file REPO@COMMIT:/PATH REPO@EARLIER:/PATH` for what changed"
_OPEN = "leave it out: files of an open commit can be read, too"
_PROVENANCE = "write `inspect branch REPO@BRANCH`, which shows what it comes from"

# (the words of a command, the long name of a flag it had) -> (its short name, what to do now); what stands in backquotes are lines here.
GONE_FLAGS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("completion", "--install"): ("", _COMPLETION),
    ("completion", "--path"): ("", _COMPLETION),
    ("copy file", "--overwrite"): ("-o", "leave it out: a copy replaces what is there, and -a appends"),
    ("create pipeline", "--build"): ("-b", _IMAGES),
    ("create pipeline", "--description"): ("-d", "write it in the spec, as `description`: `explain spec` shows where"),
    ("create pipeline", "--password"): ("", _NO_REGISTRY),
    ("delete pipeline", "--delete-jobs"): ("", "leave it out: jobs go with their pipeline"),
    ("delete pipeline", "--delete-repo"): ("", "leave it out: the repo goes with its pipeline, unless --keep-repo is given"),
    ("delete pipeline", "--split-txn"): ("", _AT_ONCE),
    ("delete repo", "--split-txn"): ("", _AT_ONCE),
    ("finish commit", "--cancel"): ("-c", "to give an open commit up, finish it and go back: `create branch REPO@BRANCH --head BRANCH^`"),
    ("get file", "--from"): ("-f", _SINCE),
    ("get file", "--parallelism"): ("-p", "leave it out: nothing is downloaded"),
    ("get file", "--unsafe"): ("", _OPEN),
    ("inspect file", "--unsafe"): ("", _OPEN),
    ("inspect job", "--block"): ("-b", "write `wait job PIPELINE@ID`"),
    ("list branch", "--all"): ("-a", _ALL_SHOWN),
    ("list commit", "--block"): ("-b", "write `subscribe commit REPO@BRANCH`"),
    ("list commit", "--exclude"): ("", "write `list commit REPO@BRANCH --from COMMIT`"),
    ("list commit", "--provenance"): ("-p", _PROVENANCE),
    ("list datum", "--page"): ("", _ALL_SHOWN),
    ("list datum", "--pageSize"): ("", _ALL_SHOWN),
    ("list datum", "--status-only"): ("", _ALL_SHOWN),
    ("list file", "--fast"): ("", "leave it out: sizes are known"),
    ("list file", "--from"): ("-f", _SINCE),
    ("list file", "--recurse"): ("", "write `glob file 'REPO@BRANCH:/**'`"),
    ("list file", "--unsafe"): ("", _OPEN),
    ("list repo", "--provenance"): ("-p", _PROVENANCE),
    ("put file", "--commit"): ("", "leave it out: without an open commit, files are a commit of their own"),
    ("put file", "--description"): ("", _NOT_TOLD),
    ("put file", "--message"): ("-m", _NOT_TOLD),
    ("put file", "--overwrite"): ("-o", _OVERWRITES),
    ("run pipeline", "--file"): ("-f", "write `update pipeline -f SPEC --reprocess`"),
    ("run pipeline", "--job"): ("", "write `rerun pipeline NAME --reprocess`"),
    ("start commit", "--branch"): ("-b", _BRANCH),
    ("subscribe commit", "--pipeline"): ("", "write `subscribe commit REPO@BRANCH`: the repo of a pipeline has its name"),
    ("update pipeline", "--archive"): ("", "leave it out: commits cannot be archived any more"),
    ("update pipeline", "--build"): ("-b", _IMAGES),
    ("update pipeline", "--password"): ("", _NO_REGISTRY),
}


def gone_flag(words: str, flag: str) -> str | None:
    """What to do in place of a flag, long or short, that a command of earlier versions had; None for any other."""
    for (command, long), (short, now) in GONE_FLAGS.items():
        if command == words and flag in (long, short):
            return now
    return None
