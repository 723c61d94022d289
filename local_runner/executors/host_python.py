"""Mounts this host's Python into containers, so that the launcher runs in any image, even one without Python or a shell.

The interpreter, its standard library and the shared libraries it has loaded are mounted, and started by this host's dynamic loader.
Nothing is copied and the image's own libraries are never touched; measured, it is there 30 ms after the container is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from local_runner.errors import Unavailable

ROOT = "/.local_runner"  # where all of it stands in the container

_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = f"{ROOT}/lib"
# What the launcher and pachctl load that is linked to libraries, so that these are in the map of the process.
_PROBE = """
import json, sys
sys.path += json.loads(sys.argv[1])
import ctypes, select, socket, sqlite3
try:
    import grpc
except ImportError:
    pass
print(open('/proc/self/maps').read())
"""


class Runtime(NamedTuple):
    """`mounts` maps paths in the container to files and folders of this host; `command` there is a Python, ready for `-c PROGRAM`.

    `packages` are the folders there in which it finds what is installed here.
    """

    mounts: Mapping[str, Path]
    command: Sequence[str]
    packages: Sequence[str]

    def program(self, code: str, *arguments: str) -> list[str]:
        """The command that runs `code` with this package at hand; `arguments` follow in sys.argv from 1."""
        return [*self.command, "-I", "-S", "-c", f"import sys; sys.path.append('{ROOT}/package'); {code}", *arguments]


@lru_cache(maxsize=1)
def host_runtime() -> Runtime:
    """Raises `Unavailable` where there is no dynamic loader to start it with. 0.1 s, once a process."""
    standard_library = Path(os.__file__).parent
    python = Path(sys.executable).resolve()
    loaded = _loaded_files()
    loaders = [path for path in loaded if path.name.startswith("ld") and ".so" in path.name]
    if not loaders:
        raise Unavailable("this Python is not started by a dynamic loader, so it cannot be shown in containers", hint="try another Python")
    installed = {f"{ROOT}/site/{number}": Path(folder) for number, folder in enumerate(_installed())}
    hidden = (standard_library, *installed.values())  # these bring the libraries in them along
    libraries = [path for path in loaded if ".so" in path.name and not any(path.is_relative_to(folder) for folder in hidden)]
    mounts = {
        **installed,
        f"{ROOT}/bin/python": python,
        f"{ROOT}/lib/{standard_library.name}": standard_library,
        f"{ROOT}/package/local_runner": _PACKAGE,
        **{f"{_LIBRARIES}/{name}": path for path in libraries for name in _names(path)},
    }
    return Runtime(mounts, [f"{_LIBRARIES}/{loaders[0].name}", "--library-path", _LIBRARIES, f"{ROOT}/bin/python"], list(installed))


def _installed() -> list[str]:
    """Folders with installed packages."""
    return [folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages")) and os.path.isdir(folder)]


def _loaded_files() -> list[Path]:
    """The files that a Python with the launcher in it has mapped."""
    command = [sys.executable, "-I", "-S", "-c", _PROBE, json.dumps(_installed())]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split(None, 5)[5] for line in lines if len(line.split(None, 5)) == 6]
    return [Path(name) for name in dict.fromkeys(names) if name.startswith("/")]


def _names(library: Path) -> list[str]:
    """The names of a library: its own, and those of links to it (libffi.so.8 for libffi.so.8.1.2)."""
    stem = library.name.partition(".so")[0]
    return [path.name for path in library.parent.glob(f"{stem}.so*") if path.resolve() == library]
