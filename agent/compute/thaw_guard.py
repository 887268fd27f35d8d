"""A process of its own that lets a guest go on when the agent that holds it still cannot.

    python -m agent.compute.thaw_guard URI DOMAIN thaw|resume LIMIT_S

It says `ready` once it has the domain, then waits on its input: a line dismisses it; the end of the input (whoever started it is
dead) or LIMIT_S seconds without a word (0: no limit) make it act, again and again until the guest goes on or is gone. It stands
alone and imports little, so that it is there in a moment and nothing of the agent can fail it.
"""

import select
import signal
import sys
import time

import libvirt

PATIENCE_S = 60
RETRY_S = 0.25
ANSWER_S = 10


def main() -> int:
    uri, name, act, limit_s = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its task, not with whoever is stopped around it
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open(uri)
    guest = connection.lookupByName(name)
    print("ready", flush=True)
    heard, _, _ = select.select([sys.stdin], [], [], limit_s or None)
    if heard and sys.stdin.readline():
        return 0
    return 0 if let_go(guest, act) else 1


def let_go(guest: libvirt.virDomain, act: str) -> bool:
    """Whether the guest goes on."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if not guest.isActive():
                return True
            if act == "thaw":
                guest.agentSetResponseTimeout(ANSWER_S)
                guest.fsThaw()
                return True
            give_up_job(guest)
            if guest.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                return True
            guest.resume()
        except libvirt.libvirtError as err:
            print(f"{guest.name()}: {act} failed and is tried again: {err}", file=sys.stderr, flush=True)
        time.sleep(RETRY_S)
    return False


def give_up_job(guest: libvirt.virDomain) -> None:
    """libvirt goes on writing the memory for whoever died; until then the guest cannot be resumed."""
    if guest.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        guest.abortJob()


if __name__ == "__main__":
    sys.exit(main())
