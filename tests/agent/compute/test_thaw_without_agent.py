"""A guest whose agent is not there when it is to be thawed."""

from typing import cast

import libvirt
import pytest

from agent.compute.libvirt_snapshots import _thaw
from horcrux.errors import Unavailable


class Guest:
    """As much of a domain as is asked; nobody has opened its agent's channel."""

    def __init__(self, state: int) -> None:
        self._state = state

    def state(self) -> list[int]:
        return [self._state, 0]

    def name(self) -> str:
        return "vm-1"

    def XMLDesc(self, _flags: int) -> str:
        target = "<target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>"
        return f"<domain><devices><channel>{target}</channel></devices></domain>"


def thawed(state: int, *, was_frozen: bool) -> bool:
    return _thaw(cast(libvirt.virDomain, Guest(state)), was_frozen=was_frozen)


def test_a_running_guest_that_we_froze_is_not_taken_for_thawed() -> None:
    with pytest.raises(Unavailable, match="its agent is not connected"):
        thawed(libvirt.VIR_DOMAIN_RUNNING, was_frozen=True)


def test_one_that_nobody_froze_or_that_has_ended_needs_no_thaw() -> None:
    assert not thawed(libvirt.VIR_DOMAIN_RUNNING, was_frozen=False)
    assert not thawed(libvirt.VIR_DOMAIN_SHUTOFF, was_frozen=True)
