"""Writes a datum as a self-contained folder: its inputs, the image's files, and a script that runs its command on them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local_runner.engine.datum_lookup import Before, FoundDatum
from local_runner.engine.environment import job_env
from local_runner.engine.staging import files_of
from local_runner.errors import Refused
from local_runner.executors.base import WorkerRequest
from local_runner.executors.host_env import host_env
from local_runner.executors.process import translator
from local_runner.export.words import command_text, describe
from local_runner.specs.kubernetes import is_variable
from local_runner.storage.database import Session

_NEXT_DATUM = "next_datum.py"
_OURS = ("LOCAL_RUNNER_HOME", "PPS_WORKER_GRPC_PORT")  # they lead to this runner
_SECRETS = "secrets"
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")  # of a shell; a container's variables may have other names
_HOLE = re.compile("\0(pfs|code)\0")  # where a path goes that is known only when the script runs

_README = """\
{about}

    sh run.sh

runs its command on the files in pfs/, once; what it writes is in pfs/out then. The command is

{command}

pfs/ stands at /pfs for it, and what is in code/ where its image has it, if Linux lets run.sh make namespaces; else the command is
told where they are instead, which a path inside a program does not hear. In the image itself, {image}:

    docker run --rm -v "$PWD:$PWD" -v "$PWD/pfs:/pfs" {image} sh "$PWD/run.sh"
{more}"""

_RUN = """\
#!/bin/sh
# {about}
here=$(cd "$(dirname "$0")" && pwd -P)

# $1: what /pfs is called; $2: what stands before the paths of the image's files
run() {{
    pfs=$1 code=$2
    cd {folder} || exit
    {stdin}env -- \\
{env}
        {command}{null}
}}

# Show in the folder $3 what is in $1, and what is in $2 besides or instead.
show() (
    for entry in "$1"/* "$1"/.[!.]*; do
        own=$2/${{entry##*/}} place=$3/${{entry##*/}}
        if [ -d "$own" ] && [ -d "$entry" ]; then mkdir "$place" && show "$entry" "$own" "$place"
        elif [ -e "$own" ]; then continue
        elif [ -L "$entry" ]; then cp -P "$entry" "$place"
        elif [ -d "$entry" ]; then mkdir "$place" && mount --rbind "$entry" "$place"
        elif [ -e "$entry" ]; then : >"$place" && mount --bind "$entry" "$place"
        fi || exit
    done
    for own in "$2"/*; do
        place=$3/${{own##*/}}
        if [ -e "$place" ] || [ ! -e "$own" ]; then continue
        elif [ -d "$own" ]; then mkdir "$place"
        else : >"$place"
        fi && mount --bind "$own" "$place" || exit
    done
)

# In a mount namespace: the root folder as it is, with the image's files and /pfs in it.
enter() {{
    mount -t tmpfs tmpfs "$1" && show "" "$here/code" "$1" && mkdir -p "$1/pfs" && mount --bind "$here/pfs" "$1/pfs" || exit
    exec chroot "$1" /bin/sh "$here/run.sh"
}}

PATH=$PATH:/usr/sbin:/sbin
if [ "${{1-}}" = --enter ]; then enter "$2"; fi
if [ /pfs -ef "$here/pfs" ]; then run /pfs ""; exit; fi
for flags in --mount "--mount --map-root-user"; do
    if unshare $flags true 2>/dev/null; then
        root=$(mktemp -d)
        trap 'rmdir "$root"' EXIT
        unshare $flags sh "$here/run.sh" --enter "$root"
        exit
    fi
done
echo "run.sh: no namespaces here, so the command is told $here/pfs instead of /pfs" >&2
run "$here/pfs" "$here/code"
"""

_SERVER = '''\
"""Stands in for Pachyderm's worker: gives a command with datum_batching its one datum, and ends it when it asks for the next.

python3 next_datum.py PFS/.env COMMAND...: needs grpcio, as the command does.
"""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

asked, ended = threading.Event(), []


def field(text):
    """A protobuf string with the number 1."""
    data = text.encode()
    length, prefix = len(data), b"\\n"
    while length > 127:
        prefix += bytes([length & 127 | 128])
        length >>= 7
    return prefix + bytes([length]) + data


def next_datum(request, context):
    if not asked.is_set():
        asked.set()
        return answer
    ended.append(request[2:].decode(errors="replace"))  # how the datum went, "" is well
    process.kill()
    context.abort(grpc.StatusCode.UNKNOWN, "there is one datum only")


with open(sys.argv[1]) as file:
    answer = b"".join(map(field, file.read().splitlines()))
server = grpc.server(ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(next_datum)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("pachyderm.worker.Worker", {"NextDatum": handler}),))
os.environ["PPS_WORKER_GRPC_PORT"] = str(server.add_insecure_port("127.0.0.1:0"))
server.start()
process = subprocess.Popen(sys.argv[2:])
process.wait()
server.stop(None)
sys.exit(0 if ended == [""] else f"it failed: {ended[0]}" if ended else "it ended before it asked for the next datum")
'''


def write_folder(session: Session, entry: FoundDatum, request: WorkerRequest, folder: Path, *, with_code: bool = True) -> None:
    """Write a datum to a folder that is empty or not there; `request` is what its worker would be asked for.

    Without `with_code` the caller puts the image's files below `code`. Raises `Refused`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is there already", hint="name a folder that is empty or not there")
    writer = _Writer(entry, request)
    (folder / "pfs/out").mkdir(parents=True)
    (folder / "code").mkdir()
    _write_inputs(session, entry, folder / "pfs")
    if any(not _IDENTIFIER.fullmatch(name) for name in writer.secrets):
        (folder / _SECRETS).mkdir()
    (folder / "pfs/.env").write_text("".join(f"{name}={value}\n" for name, value in {**writer.env, **entry.env}.items()))
    for target, source in sorted(request.code.items()) if with_code else ():
        copy_code(source, folder / "code" / target[1:])
    if writer.working_dir != "/":
        (folder / "code" / writer.working_dir[1:]).mkdir(parents=True, exist_ok=True)
    (folder / "run.sh").write_text(writer.script())
    (folder / "run.sh").chmod(0o755)
    (folder / "README").write_text(writer.readme())
    if entry.spec.transform.datum_batching:
        (folder / _NEXT_DATUM).write_text(_SERVER)


def copy_code(source: Path, target: Path) -> None:
    """Copy a file or folder of an image into a folder that may have others already."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _write_inputs(session: Session, entry: FoundDatum, pfs: Path) -> None:
    """Write the files of every input; those of lazy inputs are regular files here."""
    for file in entry.datum.inputs:
        (pfs / file.source.name).mkdir(exist_ok=True)
        for path, content, _ in files_of(session, file, entry.roots):
            target = pfs / file.source.name / path.lstrip("/")
            if target.exists():
                continue  # a group may hold one file twice
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.source.empty_files:
                target.touch()
            else:
                session.objects.place(content, target)


def write_output(session: Session, before: Before, folder: Path) -> None:
    """Write what a datum wrote when it last succeeded to a new folder."""
    folder.mkdir()
    for path, content in before.files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        session.objects.place(content.name, target)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Makes the texts in the folder: `run.sh`, the environment and the README."""

    entry: FoundDatum
    request: WorkerRequest

    @property
    def working_dir(self) -> str:
        return os.path.normpath(os.path.join("/", self.entry.spec.transform.working_dir or self.request.working_dir))

    @property
    def env(self) -> dict[str, str]:
        """The worker's variables, without what is this host's, this runner's, or secret."""
        host = host_env()
        left_out = {*_OURS, *self.secrets}
        return {name: value for name, value in self.request.env.items() if name not in left_out and host.get(name) != value}

    @property
    def secrets(self) -> list[str]:
        """The variables that are secret; no shell has one of another name than these (`is_variable`)."""
        return [secret.env_var for secret in self.entry.spec.transform.secrets if is_variable(secret.env_var)]

    def script(self) -> str:
        transform, fill = self.entry.spec.transform, self._fill()
        own = job_env(self.entry.job_id) if transform.datum_batching else self.entry.env
        words = [fill(f"{name}={value}") for name, value in {**self.env, **own}.items() if name and "=" not in name]
        words += map(_secret_word, self.secrets)
        # The Python that runs it here; where it is not, the next one is taken.
        words.append(f'PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
        command = [fill(word) for word in transform.cmd]
        if "=" in transform.cmd[0]:  # `env` would take it for one more variable
            command = ["sh", "-c", """'exec "$0" "$@"'""", *command]
        if transform.datum_batching:
            command = ["python3", f'"$here"/{_NEXT_DATUM}', '"$pfs"/.env', *command]
        lines = " ".join(fill(line) for line in transform.stdin)
        return _RUN.format(
            about=describe(self.entry),
            folder=fill(self.working_dir),
            stdin=f"printf '%s\\n' {lines} | " if transform.stdin else "",
            env="\n".join(f"        {word} \\" for word in words),
            command=" ".join(command),
            null="" if transform.stdin else " </dev/null",
        )

    def readme(self) -> str:
        spec = self.entry.spec
        secrets = f"\nSet these first, they are secrets: {', '.join(map(_secret_place, self.secrets))}\n" if self.secrets else ""
        command = "\n".join(f"    {line}" for line in command_text(spec).splitlines())
        image = shlex.quote(spec.transform.image) if spec.transform.image else "IMAGE"
        return _README.format(about=describe(self.entry), command=command, image=image, more=secrets)

    def _fill(self) -> _Fill:
        paths = {self.working_dir, *self.request.code} - {"/"}
        places = {path: f"\0code\0{path}" for path in paths if not f"{path}/".startswith("/pfs/")}
        return _Fill(translator({"/pfs": "\0pfs\0", **places}))


def _secret_place(name: str) -> str:
    """The place where `run.sh` reads a secret: a variable of the shell, or a file if its name can be no variable."""
    return name if _IDENTIFIER.fullmatch(name) else f"{name} (in the file {_SECRETS}/{name})"


def _secret_word(name: str) -> str:
    if _IDENTIFIER.fullmatch(name):
        return f'{name}="${{{name}:?is a secret of the pipeline: set it}}"'
    return f'{name}="$(cat "$here"/{_SECRETS}/{name})"'


class _Fill:
    """Quotes text for the shell, with variables of the script in place of paths."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        self._translate = translate

    def __call__(self, text: str) -> str:
        return "".join(self._parts(text)) or "''"

    def _parts(self, text: str) -> Iterator[str]:
        pieces = _HOLE.split(self._translate(text))
        for number, piece in enumerate(pieces):
            if number % 2:
                yield f'"${piece}"'
            elif piece:
                yield shlex.quote(piece)
