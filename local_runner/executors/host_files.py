"""The host's files that user code can read in a sandbox: a fixed list of what programs need."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# Programs and their libraries. Nobody keeps data there, and everybody may read them.
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")

# Patterns of names in /etc: who and where this is, without secrets; how programs are found and set up.
_SETTINGS = (
    *("passwd", "group", "nsswitch.conf", "host.conf", "hosts", "hostname", "resolv.conf", "gai.conf", "networks", "protocols"),
    *("services", "rpc", "ethertypes", "netconfig", "shells", "mtab", "static"),
    *("os-release", "lsb-release", "*-release", "debian_version"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld-musl-*", "alternatives", "java*", "python*", "perl", "R", "php"),
    *("localtime", "timezone", "locale.alias", "locale.conf", "locale.gen", "terminfo", "inputrc", "bash.bashrc", "bashrc"),
    *("mime.types", "magic", "magic.mime", "fonts", "papersize", "paperspecs", "ghostscript", "ImageMagick-*", "texmf", "sgml", "xml"),
    *("crypto-policies", "ca-certificates", "ca-certificates.conf", "OpenCL", "vulkan", "glvnd", "openmpi", "matplotlibrc", "octave*"),
)
_OF_ETC = re.compile("|".join(map(fnmatch.translate, _SETTINGS)))
# Of what holds keys as well, those parts that do not. Missing ones are passed over.
_PARTS = (
    *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/ca-trust", "/etc/pki/java"),
    *("/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/opt/cuda*", "/opt/rocm*", "/opt/intel", "/opt/nvidia"),
    *("/var/lib/ca-certificates", "/var/lib/texmf", "/var/cache/fontconfig"),
    # How many processors there are, and how much of them this may use; pages of memory.
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm"),
    # What some distributions have for programs in /run, and names of hosts.
    *("/run/current-system", "/run/booted-system", "/run/opengl-driver", "/run/systemd/resolve", "/run/resolvconf", "/run/wrappers"),
)
_GRAPHICS = re.compile(r"nvidia.*|dri|kfd|dxg")
_OF_GRAPHICS = ("/sys/bus/pci", "/sys/class/drm", "/sys/class/kfd", "/sys/module/nvidia*", "/sys/dev/char", "/sys/devices/pci*")

VARIABLE = "LOCAL_RUNNER_VISIBLE"  # more of the host for all user code, as PATH names folders


def host_paths() -> list[str]:
    """The paths of the list that exist, folders before what is in them; links are not followed."""
    found = [path for path in _PROGRAMS if os.path.lexists(path)]
    if os.path.isdir("/etc"):
        found += [f"/etc/{name}" for name in sorted(os.listdir("/etc")) if _OF_ETC.match(name)]
    parts = _PARTS + (_OF_GRAPHICS if any(map(_GRAPHICS.fullmatch, _names("/dev"))) else ())
    return found + [str(path) for part in parts for path in _matching(part)]


def asked_for() -> tuple[Path, ...]:
    """The paths that `LOCAL_RUNNER_VISIBLE` adds."""
    return tuple(Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if os.path.isabs(path))


def chain(path: Path) -> Iterator[Path]:
    """A path, and all paths on the way to the final target if it is a link."""
    for _ in range(40):
        yield path
        if not path.is_symlink():
            return
        path = path.parent / os.readlink(path)


def is_within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _matching(pattern: str) -> list[Path]:
    folder, name = os.path.split(pattern)
    if "*" not in name:
        return [Path(pattern)] if os.path.lexists(pattern) else []
    return [Path(folder, found) for found in sorted(_names(folder)) if fnmatch.fnmatchcase(found, name)]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
