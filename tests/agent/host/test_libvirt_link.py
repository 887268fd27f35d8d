"""One connection to libvirt: what is left of it when it ends or breaks."""

import asyncio
import os
from collections.abc import Iterator

import libvirt
import pytest

from agent.compute.libvirt_errors import from_libvirt
from agent.compute.libvirt_events import Listeners
from agent.host.libvirt_link import LibvirtLink
from horcrux.errors import Unreachable
from tests.support.guests import LIBVIRT_SOCKET, URI, Relay, running_libvirt

pytestmark = pytest.mark.libvirt


@pytest.fixture(autouse=True)
def _libvirt_runs() -> Iterator[None]:
    with running_libvirt():
        yield


def hostname(connection: libvirt.virConnect) -> str:
    return str(connection.getHostname())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many


async def until_broken(link: LibvirtLink) -> None:
    async with asyncio.timeout(30):
        while True:
            await link.call("the host", hostname)


async def test_a_closed_link_leaves_no_descriptor() -> None:
    counts = []
    for _ in range(4):
        link = LibvirtLink(URI, from_libvirt, attach=Listeners().attach)
        await link.call("the host", hostname)
        await link.close()
        counts.append(await asyncio.to_thread(descriptors))
    assert counts[-1] <= counts[0]


@pytest.fixture
def relay(tmp_path_factory: pytest.TempPathFactory) -> Relay:
    return Relay(LIBVIRT_SOCKET, str(tmp_path_factory.mktemp("link") / "relay.sock"))


async def test_a_broken_link_leaves_no_descriptor_when_it_is_made_again(relay: Relay) -> None:
    uri = f"qemu+unix:///system?socket={relay.path}"
    link = LibvirtLink(uri, from_libvirt, attach=Listeners().attach)
    counts = []
    for _ in range(4):
        await relay.start()
        await link.call("the host", hostname)
        await relay.stop()
        with pytest.raises(Unreachable):
            await until_broken(link)
        counts.append(await asyncio.to_thread(descriptors))
    await link.close()
    assert counts[-1] <= counts[1]
