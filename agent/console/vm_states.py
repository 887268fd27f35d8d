"""What consoles have to know of VMs, and what they make of it."""

from typing import Protocol

from agent.console.closing import LOST, VM_STOPPED, Closing
from horcrux.clock import Clock
from horcrux.compute.vm import RunState
from horcrux.errors import NotFound
from horcrux.ids import VmId

_NO_GUEST = frozenset({RunState.CREATING, RunState.STOPPED, RunState.CRASHED, RunState.DELETING})
_SETTLE_S = 2.0
_LOOK_EVERY_S = 0.1


class VmStates(Protocol):
    def state_of(self, vm_id: VmId) -> RunState:
        """What the VM does now; NotFound for one that this node does not have."""
        ...


def has_guest(states: VmStates, vm_id: VmId) -> bool:
    """False once the VM is known not to run. A hypervisor that does not answer proves nothing."""
    try:
        return states.state_of(vm_id) not in _NO_GUEST
    except NotFound:
        return False


async def why_gone(states: VmStates, vm_id: VmId, clock: Clock) -> Closing:
    """Why a VM's socket closed. What the hypervisor says follows within 2 s, so a stop is waited for that long."""
    given_up_at = clock.monotonic() + _SETTLE_S
    while has_guest(states, vm_id):
        if clock.monotonic() >= given_up_at:
            return LOST
        await clock.sleep(_LOOK_EVERY_S)
    return VM_STOPPED
