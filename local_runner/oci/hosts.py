"""Where the images of a registry are taken from: its own address, and the mirrors that docker or podman are set up with."""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_runner.errors import Refused, Unavailable
from local_runner.oci.reference import DOCKER_HUB, Reference

_HUB_ADDRESS = "registry-1.docker.io"
_DAEMON = Path("/etc/docker/daemon.json")
_CERTIFICATES = ("/etc/docker/certs.d", "/etc/containers/certs.d", "~/.config/containers/certs.d")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask for a repository. `insecure` ones may have any certificate, or no TLS at all."""

    host: str
    repository: str
    insecure: bool = False
    scheme: str = ""  # "" is https, and for insecure ones http as well

    @property
    def bases(self) -> tuple[str, ...]:
        """What its addresses begin with, in the order in which they are tried."""
        schemes = (self.scheme,) if self.scheme else ("https", "http") if self.insecure else ("https",)
        host = _HUB_ADDRESS if self.host == DOCKER_HUB else self.host
        return tuple(f"{scheme}://{host}/v2/{self.repository}" for scheme in schemes)


def endpoints(reference: Reference, insecure: Collection[str] = ()) -> list[Endpoint]:
    """Mirrors first, then the registry itself.

    `insecure` are names of registries as `--insecure` gives them. As docker has it, those on this machine count as such anyway.
    Mirrors and `insecure = true` are read from podman's registries.conf (containers-registries.conf(5): prefix, location, mirror,
    blocked), mirrors of Docker Hub and `insecure-registries` from docker's daemon.json.
    Raises `Unavailable` for a file that cannot be read, `Refused` for a registry that is blocked there.
    """
    daemon = _read_daemon()
    insecure = {*insecure, *map(str, daemon.get("insecure-registries") or ())}
    entry = _entry_of(reference)
    if entry.get("blocked"):
        raise Refused(f"registry {reference.registry} is blocked in registries.conf", hint="take the image from another, or allow it there")
    found = [_place(mirror, reference, entry, insecure) for mirror in entry.get("mirror") or ()]
    if reference.registry == DOCKER_HUB:
        for address in map(str, daemon.get("registry-mirrors") or ()):
            parts = urlsplit(address)
            found.append(Endpoint(parts.netloc, reference.repository, _is_insecure(parts.netloc, insecure), parts.scheme))
    return [*found, _place(entry, reference, entry, insecure)]


def tls_context(host: str, *, insecure: bool) -> ssl.SSLContext:
    """As this machine trusts, and with the certificates that docker and podman keep for a registry (certs.d). Raises `Unavailable`."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for folder in (Path(os.path.expanduser(name), host) for name in _CERTIFICATES):
        try:
            for path in sorted(folder.iterdir()):
                if path.suffix == ".crt":
                    context.load_verify_locations(path)
                elif path.suffix == ".cert" and path.with_suffix(".key").exists():
                    context.load_cert_chain(path, path.with_suffix(".key"))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, ssl.SSLError) as why:
            raise Unavailable(f"the certificates in {folder} cannot be read: {why}", hint="mend or remove them") from None
    return context


def _place(entry: Mapping[str, Any], reference: Reference, prefix: Mapping[str, Any], insecure: Collection[str]) -> Endpoint:
    """Where an entry, or a mirror of it, has the repository: what is below its prefix is below its location."""
    name, location = (
        str(prefix.get("prefix") or prefix.get("location") or reference.registry),
        str(entry.get("location") or reference.registry),
    )
    rest = reference.name.removeprefix(name) if not name.startswith("*.") else f"/{reference.repository}"
    host, _, repository = f"{location}{rest}".partition("/")
    return Endpoint(host, repository, bool(entry.get("insecure")) or _is_insecure(host, insecure))


def _is_insecure(host: str, named: Collection[str]) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if {host, name}.intersection(named) or name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or any(address in network for network in _networks(named))


def _networks(named: Collection[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """docker lets ranges of addresses be insecure, too."""
    for name in named:
        if "/" in name:
            try:
                yield ipaddress.ip_network(name, strict=False)
            except ValueError:
                continue


def _entry_of(reference: Reference) -> Mapping[str, Any]:
    """The `[[registry]]` whose prefix is the longest that fits."""
    found: Mapping[str, Any] = {}
    longest = -1
    for entry in _read_registries():
        prefix = str(entry.get("prefix") or entry.get("location") or "")
        if prefix and len(prefix) > longest and _fits(prefix, reference):
            found, longest = entry, len(prefix)
    return found


def _fits(prefix: str, reference: Reference) -> bool:
    if prefix.startswith("*."):
        return reference.registry.endswith(prefix[1:])
    return reference.name == prefix or reference.name.startswith(f"{prefix}/")


def _read_registries() -> Sequence[Mapping[str, Any]]:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    named = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    for path in [Path(named)] if named else [Path(config, "containers/registries.conf"), Path("/etc/containers/registries.conf")]:
        try:
            listed = tomllib.loads(path.read_text()).get("registry") or []
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, ValueError) as why:
            raise Unavailable(f"{path} cannot be read: {why}", hint="mend it: containers-registries.conf(5)") from None
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return []


def _read_daemon() -> Mapping[str, Any]:
    try:
        document = json.loads(_DAEMON.read_text())
    except (OSError, ValueError):  # docker's own affair
        return {}
    return document if isinstance(document, dict) else {}
