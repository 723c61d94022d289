"""Which commands there are, and where each is defined: the one place to look for a command, or to add one."""

from __future__ import annotations

from collections.abc import Mapping

# Noun -> "module:function" in this package, below each verb. Nothing here is imported before it is called for.
NOUNS: Mapping[str, Mapping[str, str]] = {
    "config": {"get": "project:get_context", "set": "project:set_context", "update": "project:set_context"},
    "copy": {"file": "file:copy_file"},
    "create": {
        "branch": "branch:create_branch",
        "defaults": "defaults:create_defaults",
        "pipeline": "pipeline:create_pipeline",
        "project": "project:create_project",
        "repo": "repo:create_repo",
        "secret": "secret:create_secret",
    },
    "delete": {
        "all": "admin:delete_all",
        "branch": "branch:delete_branch",
        "commit": "commit:delete_commit",
        "defaults": "defaults:delete_defaults",
        "file": "file:delete_file",
        "job": "job:delete_job",
        "pipeline": "pipeline:delete_pipeline",
        "project": "project:delete_project",
        "repo": "repo:delete_repo",
        "secret": "secret:delete_secret",
        "transaction": "transaction:delete_transaction",
    },
    "diff": {"file": "diff:diff_file"},
    "draw": {"pipeline": "pipeline_view:draw_pipeline"},
    "edit": {"pipeline": "pipeline:edit_pipeline"},
    "explain": {"spec": "explain:explain_spec"},
    "find": {"commit": "commit:find_commit"},
    "finish": {"commit": "commit:finish_commit", "transaction": "transaction:finish_transaction"},
    "get": {"file": "file:get_file"},
    "glob": {"file": "file:glob_file"},
    "inspect": {
        "branch": "branch:inspect_branch",
        "commit": "commit:inspect_commit",
        "datum": "datum:inspect_datum",
        "defaults": "defaults:inspect_defaults",
        "file": "file:inspect_file",
        "job": "job:inspect_job",
        "pipeline": "pipeline_view:inspect_pipeline",
        "project": "project:inspect_project",
        "repo": "repo:inspect_repo",
        "secret": "secret:inspect_secret",
        "transaction": "transaction:inspect_transaction",
    },
    "list": {
        "branch": "branch:list_branch",
        "commit": "commit:list_commit",
        "datum": "datum:list_datum",
        "file": "file:list_file",
        "job": "job:list_job",
        "pipeline": "pipeline_view:list_pipeline",
        "project": "project:list_project",
        "repo": "repo:list_repo",
        "secret": "secret:list_secret",
        "transaction": "transaction:list_transaction",
    },
    "next": {"datum": "datum:next_datum"},
    "put": {"file": "put:put_file"},
    "rerun": {"pipeline": "pipeline:rerun_pipeline"},
    "restart": {"datum": "datum:restart_datum"},
    "resume": {"transaction": "transaction:resume_transaction"},
    "run": {"cron": "pipeline:run_cron", "pipeline": "pipeline:run_pipeline"},
    "squash": {"commit": "commit:squash_commit"},
    "start": {
        "commit": "commit:start_commit",
        "pipeline": "pipeline:start_pipeline",
        "transaction": "transaction:start_transaction",
    },
    "stop": {"job": "job:stop_job", "pipeline": "pipeline:stop_pipeline", "transaction": "transaction:stop_transaction"},
    "subscribe": {"commit": "commit:subscribe_commit"},
    "update": {
        "defaults": "defaults:update_defaults",
        "pipeline": "pipeline:update_pipeline",
        "project": "project:update_project",
        "repo": "repo:update_repo",
    },
    "validate": {"pipeline": "pipeline:validate_pipeline"},
    "wait": {"commit": "commit:wait_commit", "job": "job:wait_job"},
}

# Verbs that stand alone. `run` brings the project up to date; with a noun it is pachctl's verb.
ALONE: Mapping[str, str] = {
    "engine": "engine:engine",
    "fsck": "admin:fsck",
    "logs": "logs:logs",
    "run": "run:run",
    "version": "admin:version",
}

HIDDEN = frozenset({"engine", "next"})

VERBS: Mapping[str, str] = {
    "config": "Choose the current project.",
    "copy": "Copy files.",
    "create": "Create something new.",
    "delete": "Delete something.",
    "diff": "Compare files of two commits.",
    "draw": "Draw the graph of pipelines.",
    "edit": "Edit a pipeline in your text editor.",
    "engine": "Work in the background.",
    "explain": "Say what becomes of the fields of a spec.",
    "find": "Find the commits that changed a file.",
    "finish": "Finish a commit or a transaction.",
    "fsck": "Check that the home is whole.",
    "get": "Get files out of a repo.",
    "glob": "List files that match a pattern.",
    "inspect": "Show one thing with all that is known about it.",
    "list": "List things.",
    "logs": "Print what user code printed.",
    "next": "Get the next datum.",
    "put": "Put files into a repo.",
    "rerun": "Run a pipeline again.",
    "restart": "Restart a datum that hangs.",
    "resume": "Resume a transaction.",
    "run": "Bring the project up to date; or: let a cron pipeline tick.",
    "squash": "Fold commits into their children.",
    "start": "Start a commit, a pipeline or a transaction.",
    "stop": "Stop a job, a pipeline or a transaction.",
    "subscribe": "Follow the commits of a branch.",
    "update": "Change something.",
    "validate": "Check specs.",
    "version": "Print the version.",
    "wait": "Wait for a commit or a job.",
}


def singular(noun: str) -> str:
    """Nouns in the form of the table: pachctl takes plurals too, and its newer calls as `commitV2`."""
    if noun in ("default", "defaults"):
        return "defaults"
    return "commit" if noun == "commitV2" else noun.removesuffix("es" if noun == "branches" else "s")
