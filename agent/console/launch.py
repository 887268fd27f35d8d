"""Runs websockify, unmodified, as an unprivileged process that ends with the agent.

Started as a file (`python -I launch.py PARENT_PID USER ARGUMENT…`, USER may be `-`), never imported by the agent. All that is
imported is imported before the user changes, since the program may live where that user cannot read (`/root`).
PR_SET_PDEATHSIG is cleared by a change of user (prctl(2)), therefore it comes last; a parent that died before is seen by
its pid. SIGKILL, because websockify can miss a SIGTERM; its forked children end with the sockets they serve.
"""

import ctypes
import logging
import os
import pwd
import signal
import sys

from websockify import token_plugins, websocketproxy

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _import_what_a_lookup_imports() -> None:
    """The token plugin imports jwcrypto only at its first lookup, which is after the change of user."""
    logging.disable()
    token_plugins.JWTTokenApi(os.devnull).lookup("")
    logging.disable(logging.NOTSET)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> None:
    parent_pid, user, *arguments = sys.argv[1:]
    _import_what_a_lookup_imports()
    if user != "-":
        _become(user)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent_pid):
        sys.exit("the agent has ended")
    sys.argv = ["websockify", *arguments]
    websocketproxy.websockify_init()


if __name__ == "__main__":
    main()
