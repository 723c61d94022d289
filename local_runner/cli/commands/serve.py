"""The home as a server that pachctl and the Python clients talk to."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command
from local_runner.cli.output import note
from local_runner.errors import Invalid, NotFound

if TYPE_CHECKING:
    from local_runner.runner import Runner
    from local_runner.s3.server import S3Server
    from local_runner.server.listen import Address

_PORT = 30650  # a cluster's, which the clients try if they are told nothing
_LOOK_SECONDS = 1.0

_file = click.Path(dir_okay=False, path_type=Path)


@command("serve --port 0", makes_home=True)
@click.option("--port", default=_PORT, type=click.IntRange(0, 65535), metavar="N", help=f"The port, {_PORT} unless told; 0 for a free one.")
@click.option("--s3-port", type=click.IntRange(0, 65535), metavar="N", help="Serve S3 too: 30600 on a cluster, 0 for a free one.")
@click.option("--listen", "host", default="127.0.0.1", metavar="ADDRESS", help="Beyond this machine only with a token and TLS.")
@click.option("--token-file", type=_file, metavar="FILE", help="A file whose first line clients have to send.")
@click.option("--tls-key", type=_file, metavar="FILE", help="The key for TLS, in PEM.")
@click.option("--tls-cert", type=_file, metavar="FILE", help="The certificate for TLS, in PEM.")
def serve(
    app: App, port: int, s3_port: int | None, host: str, token_file: Path | None, tls_key: Path | None, tls_cert: Path | None
) -> None:
    """Answer pachctl and the Python clients on this home, until Ctrl-C or SIGTERM; cron inputs and triggers tick meanwhile.

    With --s3-port repos are buckets for clients of S3, too. Whoever can connect may run commands as you.
    """
    from local_runner.server.process import ServerProcess, until_told

    address = _address(host, port, token_file, tls_key, tls_cert)
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(until_told(signal.SIGTERM, signal.SIGINT))
        server = stack.enter_context(ServerProcess(app.runner, address))
        s3 = None if s3_port is None else stack.enter_context(_serve_s3(app.runner, address, s3_port, tls_cert, tls_key, server.log_line))
        if s3:
            server.offer(s3.address_of)
        if not _is_loopback(host):
            note(f"whoever knows the token and reaches {host} can run commands as you")
        app.out.line(f"serving {app.runner.home} on {server.url}")
        app.out.line(f"export PACH_CONFIG={server.context}")
        if s3:
            app.out.line(f"export AWS_ENDPOINT_URL={s3.url}")
        sys.stdout.flush()
        while not told.wait(_LOOK_SECONDS):
            pass


def _serve_s3(
    runner: Runner, address: Address, port: int, certificate: Path | None, key: Path | None, log: Callable[[str], None]
) -> S3Server:
    """The S3 gateway beside the server, with its address, token and TLS."""
    from local_runner.s3.server import serve_s3, tls_context

    tls = tls_context(certificate, key) if certificate and key else None
    return serve_s3(runner, (address.host, port), address.token, tls=tls, log=log)


def _address(host: str, port: int, token_file: Path | None, key: Path | None, certificate: Path | None) -> Address:
    """Raises `Invalid` for an address beyond this machine without token and TLS, and for half of them."""
    from local_runner.server.listen import Address

    if (key is None) != (certificate is None):
        raise Invalid("--tls-key and --tls-cert belong together")
    if not _is_loopback(host) and (token_file is None or key is None):
        raise Invalid(
            f"{host} can be reached from elsewhere, and whoever connects may run commands as you",
            hint="give --token-file, --tls-key and --tls-cert too",
        )
    token = _read(token_file).decode(errors="replace").split("\n", 1)[0].strip() if token_file else ""
    if token_file and not token:
        raise Invalid(f"{token_file}: its first line, the token, is empty")
    return Address(host, port, token, _read(key) if key else b"", _read(certificate) if certificate else b"")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f'could not open path "{path}": {error.strerror}') from None
