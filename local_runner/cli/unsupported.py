"""Commands of pachctl that this runner does not have, each with one line that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from local_runner.errors import Unsupported

_CONTEXTS = "there is no cluster to be in touch with; `config update context --project NAME` chooses the current project"
_PODS = "there are no pods here"
_USERS = "there are no users here: whoever can read the home may do everything"

# The first words of a command line -> why that cannot be done here, and what to do instead. The longest match counts.
ELSEWHERE: Mapping[str, str] = {
    "auth": _USERS,
    "buildinfo": "this program is not built; `version` prints its version",
    "check status": "there is no service whose health could be asked for; `list pipeline` shows states, `fsck` checks the home",
    "config delete": _CONTEXTS,
    "config get active-enterprise-context": _CONTEXTS,
    "config get metrics": "nothing is ever sent anywhere",
    "config import-kube": _CONTEXTS,
    "config set active-enterprise-context": _CONTEXTS,
    "config set metrics": "nothing is ever sent anywhere",
    "connect": _CONTEXTS,
    "debug": f"{_PODS} to look into; `logs` prints what user code printed, and engine.log in the home what the engine did",
    "enterprise": "there is no enterprise server here, and nothing to activate",
    "exit": "it ends the shell of pachctl, which does not exist here",
    "idp": _USERS,
    "inspect cluster": "there is no cluster; `version` says what answers, LOCAL_RUNNER_HOME where its data lie",
    "kube-events": f"{_PODS}, and no events about them",
    "license": "there is nothing to activate",
    "loki": "there is no Loki; `logs --raw` prints every line as JSON",
    "misc": "it asks a cluster's network; there is none here",
    "mount": "repos cannot be mounted; `get file -r REPO@BRANCH:/ -o FOLDER` copies them out",
    "port-forward": "there is no cluster to forward ports to",
    "restart cluster": "there is nothing to restart; the engine starts whenever there is work",
    "run pfs-load-test": "load tests are for clusters",
    "run pps-load-test": "load tests are for clusters",
    "shell": "your own shell does; this runner has none",
    "unmount": "repos cannot be mounted",
}

_LONGEST = max(len(name.split()) for name in ELSEWHERE)


def elsewhere(words: Sequence[str]) -> str | None:
    """The unsupported command that a command line begins with, if any."""
    names = (" ".join(words[:count]) for count in range(_LONGEST, 0, -1))
    return next((name for name in names if name in ELSEWHERE), None)


class Elsewhere(click.Command):
    """A command that takes any arguments and fails with the line that says why it is not supported."""

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            callback=self._refuse,
            help=f"Not done here: {ELSEWHERE[name]}.",
            context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True, "ignore_unknown_options": True},
        )

    def _refuse(self) -> None:
        raise Unsupported(f"{self.name}: {ELSEWHERE[self.name or '']}")
