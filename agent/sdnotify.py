"""Tells systemd how the agent is (sd_notify(3)); without systemd nothing happens."""

import os
import socket


def notify(state: str) -> None:
    """Sends `state` (`READY=1`, `STOPPING=1`) to the socket of NOTIFY_SOCKET, when there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)
