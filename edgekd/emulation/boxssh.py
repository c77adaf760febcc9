"""Keys and configurations on both sides of the sshd in a box, made on the spot."""

from __future__ import annotations

from pathlib import Path

from edgekd.emulation import host
from edgekd.errors import MeasurementError, TransportError

CONFIG = "config"
_KEY = "id_ed25519"
_HOST_KEY = "ssh_host_ed25519_key"


def server(folder: Path, client: Path, *, port: int, environment: dict[str, str]) -> None:
    """Write what the sshd reads from ``/etc/ssh``, and the keys.

    Args:
        folder: what becomes ``/etc/ssh``.
        client: the folder of the other side; gets its key.
        port: where to listen on 127.0.0.1.
        environment: the variables of every session; no value may hold a space.
    """
    client.mkdir(mode=0o700, parents=True)
    folder.mkdir(mode=0o755, parents=True)
    _keygen(client / _KEY)
    _keygen(folder / _HOST_KEY)
    keys = folder / "authorized_keys"
    keys.write_text((client / f"{_KEY}.pub").read_text())
    keys.chmod(0o600)
    (folder / "sshd_config").write_text(server_text(port=port, environment=environment))


def server_text(*, port: int, environment: dict[str, str]) -> str:
    """Return the configuration of the sshd: this machine only, one key, no passwords."""
    variables = " ".join(f"{name}={value}" for name, value in sorted(environment.items()))
    return (
        f"Port {port}\n"
        "AddressFamily inet\n"
        "ListenAddress 127.0.0.1\n"
        f"HostKey /etc/ssh/{_HOST_KEY}\n"
        "AuthorizedKeysFile /etc/ssh/authorized_keys\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UsePAM no\n"
        "UseDNS no\n"
        "PrintMotd no\n"
        "PrintLastLog no\n"
        "AllowTcpForwarding no\n"
        "AllowAgentForwarding no\n"
        "X11Forwarding no\n"
        "PermitTunnel no\n"
        "MaxSessions 100\n"
        "MaxStartups 100\n"
        "PidFile none\n"
        "Subsystem sftp /usr/lib/openssh/sftp-server\n"
        f"SetEnv {variables}\n"
    )


def client(folder: Path, server_folder: Path, *, name: str, port: int) -> Path:
    """Write the configuration with which ``ssh -F FILE NAME`` gets there; return its path.

    The user's own configuration, keys, agent and known hosts are neither read nor changed.
    """
    algorithm, key = (server_folder / f"{_HOST_KEY}.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"{name} {algorithm} {key}\n")
    path = folder / CONFIG
    path.write_text(client_text(folder, name=name, port=port))
    path.chmod(0o600)
    return path


def client_text(folder: Path, *, name: str, port: int) -> str:
    """Return the configuration of ssh."""
    return (
        f"Host {name}\n"
        "  HostName 127.0.0.1\n"
        f"  Port {port}\n"
        "  User root\n"
        f"  HostKeyAlias {name}\n"
        f"  IdentityFile {_quoted(folder / _KEY)}\n"
        "  IdentitiesOnly yes\n"
        "  IdentityAgent none\n"
        f"  UserKnownHostsFile {_quoted(folder / 'known_hosts')}\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  UpdateHostKeys no\n"
        "  PreferredAuthentications publickey\n"
    )


def _quoted(path: Path) -> str:
    """Return a path as ssh reads it: ``%`` begins a token there, and a space ends a word.

    Raises:
        TransportError: it holds what ssh's configuration cannot express.
    """
    text = str(path)
    if any(mark in text for mark in '"\n\r') or "${" in text:
        raise TransportError(
            f"ssh's configuration cannot hold the path {text!r}",
            hint="Set EDGEKD_EMULATION to a folder with a plain name.",
        )
    return '"' + text.replace("%", "%%") + '"'


def prove(config: Path, name: str) -> None:
    """Run a command in the box.

    Raises:
        TransportError: it cannot be reached, or is no arm64 machine.
    """
    ssh = host.find("ssh") or "ssh"
    try:
        said = host.run(
            [ssh, "-F", config, "-o", "BatchMode=yes", name, "uname", "-m"], what=name, timeout=60
        )
    except MeasurementError as error:
        raise TransportError(f"{name} is up but cannot be reached\n{error.message}") from error
    if said.strip() != "aarch64":
        raise TransportError(f"{name} says that it is {said.strip()!r}, not aarch64")


def _keygen(path: Path) -> None:
    host.run(
        [
            *(host.find("ssh-keygen") or "ssh-keygen", "-q", "-t", "ed25519"),
            *("-N", "", "-C", "edgekd", "-f", path),
        ],
        what="a key",
        timeout=60,
    )
