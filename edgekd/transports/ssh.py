"""Linux boards, and any machine behind sshd: by the system's ssh, as the user has it set up.

The user's configuration, agent, jump hosts and known hosts hold. What edgekd insists on: a host
key that is not known, or has changed, is refused; nothing is asked; nothing is forwarded. One
connection carries everything (ControlMaster): the keeper's, and it ends with it.

Files travel through ``cat`` on that connection. scp and sftp would need a server of their own on
the device, and scp of before OpenSSH 9 lets a shell read names.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DeviceGoneError, EdgekdError, MissingDeviceError, TransportError
from edgekd.transports import lock
from edgekd.transports.base import Completed
from edgekd.transports.quoting import quote
from edgekd.transports.reach import Reach
from edgekd.transports.shell import ShellTransport

#: First on the command line, so that no configuration can overrule them.
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "ControlPersist": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "LogLevel": "ERROR",
}
#: ssh's own failures; every other code is the command's.
_FAILED = 255
_MAX_PORT = 65535


@dataclass(frozen=True)
class Address:
    """A host, and who one is there.

    Attributes:
        host: a name, an IP address, or a host of ssh's configuration.
        user: the login; None: as ssh's configuration says.
        port: likewise.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``[user@]host[:port]``; an IPv6 address stands in brackets.

        >>> Address.parse("pi@[fe80::1%eth0]:2222")
        Address(host='fe80::1%eth0', user='pi', port=2222)

        Raises:
            TransportError: it is none.
        """
        match = re.fullmatch(
            r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[^\]\s]+)\]|(?P<host>[^@:\[\]\s]+))(?::(?P<port>\d+))?",
            text,
        )
        host = (match["v6"] or match["host"]) if match else ""
        if match is None or host.startswith("-") or (match["user"] or "").startswith("-"):
            raise TransportError(
                f"{text!r} is no address", hint="An address is [user@]host[:port], or [IPv6]:port."
            )
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port <= _MAX_PORT:
            raise TransportError(f"{text!r}: there is no port {port}")
        return cls(host, match["user"], port)

    @property
    def options(self) -> list[str]:
        """It as arguments of ssh, the host last."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*user, *port, "--", self.host]

    @property
    def known_as(self) -> str:
        """Its name in the file of known hosts."""
        return self.host if self.port in (None, 22) else f"[{self.host}]:{self.port}"


class SshTransport(ShellTransport):
    """A device behind sshd.

    Args:
        reach: its address; its interpreter, folder, variables and ssh configuration, if need be.
        say: is told that another edgekd is waited for.
        wait: seconds that it is waited for.

    Raises:
        MissingDeviceError: it cannot be reached, or there is no ssh here.
        TransportError: no address is given; its host key is unknown or has changed; it refuses the
            login; another edgekd does not let it go.
    """

    no_python = "Install it there: sudo apt-get install python3 python3-numpy"

    def __init__(
        self, reach: Reach, *, say: lock.Say | None = None, wait: float = lock.WAIT
    ) -> None:
        """Connect, and take the lock."""
        if not reach.address:
            raise TransportError(
                "no address is known of this device",
                hint="Give one: --address user@host[:port], or write it into your devices.toml.",
            )
        self._address = Address.parse(reach.address)
        if shutil.which("ssh") is None:
            raise MissingDeviceError(
                "ssh is not installed, by which the device is reached",
                hint="Install it: apt-get install openssh-client",
            )
        self._config = ["-F", str(reach.ssh_config)] if reach.ssh_config else []
        # Short: the path of a socket has about 100 bytes, of which ssh needs 17. ssh makes it for
        # its owner only, and removes it at the end.
        folder = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()  # noqa: S108
        self._socket = f"{folder}/edgekd-{secrets.token_hex(8)}"
        super().__init__(reach.address, reach, base=reach.folder or "", say=say, wait=wait)

    def _argv(self, command: str, *, first: bool = False) -> list[str]:
        options = {
            **_OPTIONS,
            "ControlMaster": "yes" if first else "no",
            "ControlPath": self._socket,
        }
        settings = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", *self._config, *settings, *self._address.options, command]

    def _lost(self, completed: Completed, *, first: bool) -> EdgekdError:
        if not first:
            detail = _detail(completed.stderr)
            return DeviceGoneError(f"{self._where} is gone: the connection broke{detail}")
        if completed.returncode == _FAILED or completed.timed_out:
            return _refusal(completed, self._address, self._config)
        return TransportError(
            f"{self._where}: its shell does not understand sh{_detail(completed.stderr)}",
            hint="edgekd needs a POSIX shell as the login shell there: bash, dash, zsh or ash.",
        )

    def facts(self) -> dict[str, str]:
        """Return its address, system, machine, and model where it tells.

        Raises:
            DeviceGoneError: it vanished.
        """
        return {"transport": "ssh", "address": self._where, **super().facts()}


def _refusal(completed: Completed, address: Address, config: list[str]) -> EdgekdError:
    """Say why ssh does not come through."""
    host, text = address.host, completed.stderr
    by_hand = quote(["ssh", *config, *(word for word in address.options if word != "--")])
    if "HOST IDENTIFICATION HAS CHANGED" in text:
        return TransportError(
            f"the host key of {host} has changed: it is another machine, or was set up anew",
            hint=f"If you know why: {_forget(text, address)}, then {by_hand} once, and compare the "
            "fingerprint.",
        )
    if "Host key verification failed" in text:
        return TransportError(
            f"the host key of {host} is not known{_detail(text, skip=1)}",
            hint=f"Connect once by hand and compare the fingerprint: {by_hand}",
        )
    if "Permission denied" in text or "Too many authentication failures" in text:
        return TransportError(
            f"{host} refuses the login{_detail(text)}",
            hint=f"Passwords are not asked for. Give it your key: {_copy_id(address, config)}",
        )
    if "Bad configuration option" in text or "user config file" in text:
        return TransportError(f"ssh cannot read its configuration{_detail(text)}")
    if completed.timed_out:
        return MissingDeviceError(f"{host} does not answer", hint=f"Try it by hand: {by_hand}")
    return MissingDeviceError(
        f"{host} cannot be reached{_detail(text)}", hint=f"Try it by hand: {by_hand}"
    )


def _forget(text: str, address: Address) -> str:
    """Return the command that forgets a key, in the file and by the name that ssh itself says."""
    name = re.search(r"Host key for (\S+) has changed", text)
    file = re.search(r"Add correct host key in (.+) to get rid of", text)
    known = name[1] if name else address.known_as
    return quote(["ssh-keygen", "-R", known, *(["-f", file[1]] if file else [])])


def _copy_id(address: Address, config: list[str]) -> str:
    port = ["-p", str(address.port)] if address.port else []
    host = f"{address.user}@{address.host}" if address.user else address.host
    return quote(["ssh-copy-id", *config, *port, host])


def _detail(stderr: str, *, skip: int = 0) -> str:
    """Return what ssh says, its last line but ``skip``, for the end of a sentence."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f" ({lines[-1 - skip]})" if len(lines) > skip else ""
