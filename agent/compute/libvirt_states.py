"""libvirt's numbers for states and reasons (libvirt-domain.h) in our words."""

from collections.abc import Mapping
from types import MappingProxyType

import libvirt

from horcrux.compute.vm import RunState

_STATES: Mapping[int, RunState] = MappingProxyType(
    {
        libvirt.VIR_DOMAIN_NOSTATE: RunState.UNKNOWN,
        libvirt.VIR_DOMAIN_RUNNING: RunState.RUNNING,
        libvirt.VIR_DOMAIN_BLOCKED: RunState.RUNNING,
        libvirt.VIR_DOMAIN_PAUSED: RunState.PAUSED,
        libvirt.VIR_DOMAIN_SHUTDOWN: RunState.STOPPING,
        libvirt.VIR_DOMAIN_SHUTOFF: RunState.STOPPED,
        libvirt.VIR_DOMAIN_CRASHED: RunState.CRASHED,
        libvirt.VIR_DOMAIN_PMSUSPENDED: RunState.PAUSED,
    }
)

_PREFIXES: Mapping[int, str] = MappingProxyType(
    {
        libvirt.VIR_DOMAIN_RUNNING: "VIR_DOMAIN_RUNNING_",
        libvirt.VIR_DOMAIN_PAUSED: "VIR_DOMAIN_PAUSED_",
        libvirt.VIR_DOMAIN_SHUTDOWN: "VIR_DOMAIN_SHUTDOWN_",
        libvirt.VIR_DOMAIN_SHUTOFF: "VIR_DOMAIN_SHUTOFF_",
        libvirt.VIR_DOMAIN_CRASHED: "VIR_DOMAIN_CRASHED_",
    }
)


_FLAGS = ("ACPI_POWER_BTN", "GUEST_AGENT", "INITCTL", "SIGNAL", "PARAVIRT")
"""Names that share the prefix `VIR_DOMAIN_SHUTDOWN_` but are flags of a call."""


def _name_reasons() -> dict[tuple[int, int], str]:
    """`{(SHUTOFF, 2): "destroyed", …}`, from the binding's own constants."""
    return {
        (state, getattr(libvirt, constant)): constant.removeprefix(prefix).lower().replace("_", " ")
        for state, prefix in _PREFIXES.items()
        for constant in dir(libvirt)
        if constant.startswith(prefix) and not constant.endswith(("_LAST", "_UNKNOWN", "_DEFAULT", *_FLAGS))
    }


_REASONS: Mapping[tuple[int, int], str] = MappingProxyType(_name_reasons())


def state_of(state: int, reason: int) -> tuple[RunState, str]:
    """State and, where libvirt knows one, the reason in a word (`destroyed`, `ioerror`)."""
    word = _REASONS.get((state, reason), "suspended by the guest" if state == libvirt.VIR_DOMAIN_PMSUSPENDED else "")
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        return RunState.CRASHED, word
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_STARTING_UP:
        # For a moment of every start, while QEMU is set up: nobody has paused it, and `resume` would be refused.
        return RunState.RUNNING, word
    return _STATES.get(state, RunState.UNKNOWN), word
