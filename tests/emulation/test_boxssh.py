"""Both configurations, as ssh and sshd themselves read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgekd.emulation import boxssh, host
from edgekd.errors import TransportError

needs_ssh = pytest.mark.skipif(host.find("ssh") is None, reason="no ssh: openssh-client")
needs_sshd = pytest.mark.skipif(host.find("sshd") is None, reason="no sshd: openssh-server")


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value)
    return found


@needs_ssh
def test_ssh_reads_what_was_meant(tmp_path: Path) -> None:
    folder = tmp_path / "with space and 100%h"
    server, client = tmp_path / "server", folder / "client"
    boxssh.server(server, client, port=2222, environment={"QEMU_CPU": "cortex-a72"})
    config = boxssh.client(client, server, name="pi5-emulated", port=2222)
    said = subprocess.run(
        ["ssh", "-G", "-F", config, "pi5-emulated"], capture_output=True, text=True, check=True
    )
    found = settings(said.stdout)
    assert found["hostname"] == ["127.0.0.1"]
    assert found["port"] == ["2222"]
    assert found["user"] == ["root"]
    assert found["stricthostkeychecking"] == ["true"]
    assert found["passwordauthentication"] == ["yes"] or found["preferredauthentications"]
    assert found["identityagent"] == ["none"]
    # ssh prints the path as it was written; %% stands for one %.
    assert found["identityfile"] == [str(client / "id_ed25519").replace("%", "%%")]
    known = (client / "known_hosts").read_text().split()
    assert known[0] == "pi5-emulated"
    assert known[1:] == (server / "ssh_host_ed25519_key.pub").read_text().split()[:2]


@needs_ssh
def test_keys_are_private_and_fresh(tmp_path: Path) -> None:
    for name in ("one", "two"):
        boxssh.server(tmp_path / name, tmp_path / f"{name}-c", port=1, environment={})
    keys = [tmp_path / f"{name}-c" / "id_ed25519" for name in ("one", "two")]
    assert keys[0].read_bytes() != keys[1].read_bytes()
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)
    authorised = tmp_path / "one" / "authorized_keys"
    assert authorised.read_text() == (keys[0].parent / "id_ed25519.pub").read_text()


@needs_ssh
@needs_sshd
def test_sshd_listens_here_only_and_takes_no_password(tmp_path: Path) -> None:
    boxssh.server(tmp_path / "s", tmp_path / "c", port=2222, environment={"A": "1", "B": "2"})
    text = (tmp_path / "s" / "sshd_config").read_text()
    config = tmp_path / "sshd_config"
    config.write_text(text.replace("/etc/ssh/", f"{tmp_path}/s/"))
    sshd = host.find("sshd")
    said = subprocess.run([str(sshd), "-T", "-f", config], capture_output=True, text=True)
    if "separation" in said.stderr:
        pytest.skip(f"sshd does not start here: {said.stderr.strip()}")
    found = settings(said.stdout)
    assert found["listenaddress"] == ["127.0.0.1:2222"]
    assert found["passwordauthentication"] == ["no"]
    assert found["kbdinteractiveauthentication"] == ["no"]
    assert found["permitrootlogin"] == ["without-password"]
    assert found["allowtcpforwarding"] == ["no"]
    assert found["setenv"] == ["A=1", "B=2"]


@pytest.mark.parametrize("name", ['quo"te', "new\nline", "${HOME}"])
def test_a_path_that_ssh_cannot_hold(name: str) -> None:
    with pytest.raises(TransportError, match="cannot hold the path"):
        boxssh.client_text(Path("/tmp") / name, name="box", port=1)


def test_a_box_that_does_not_answer(tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("no ssh")
    config = tmp_path / "config"
    config.write_text("Host box\n  HostName 127.0.0.1\n  Port 1\n")
    with pytest.raises(TransportError, match="box is up but cannot be reached"):
        boxssh.prove(config, "box")
