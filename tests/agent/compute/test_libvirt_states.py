import libvirt

from agent.compute.libvirt_states import state_of
from horcrux.compute.vm import RunState


def test_a_guest_that_is_being_set_up_was_paused_by_nobody() -> None:
    assert state_of(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)[0] is RunState.RUNNING
    assert state_of(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)[0] is RunState.PAUSED


def test_a_crash_is_told_apart_from_a_stop() -> None:
    assert state_of(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED)[0] is RunState.CRASHED
    assert state_of(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED) == (RunState.STOPPED, "destroyed")
