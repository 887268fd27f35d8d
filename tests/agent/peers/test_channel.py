import asyncio
import logging
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.peers.identity import open_identity
from agent.peers.route import PeerCall, PeerRoute
from horcrux.errors import AlreadyExists, Diverged, Interrupted, Invalid, InvalidFields, NoSpace, NotFound, Unreachable
from horcrux.ids import NodeId
from horcrux.replication.peer import NewPeer
from tests.support.peers import Echo, PeerBench, introduce, peer_bench
from tests.support.waiting import eventually


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    count: int


class Sink:
    """What came of a stream."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    async def take(self, call: PeerCall[Echo]) -> Counted:
        try:
            async for piece in call.content():
                self.count += len(piece)
                if call.order.text == "full" and self.count > 1_000_000:
                    raise NoSpace("pool tank is full")
        except Exception as err:
            self.error = err
            raise
        return Counted(count=self.count)


async def echo(call: PeerCall[Echo]) -> Echo:
    match call.order.text:
        case "diverged":
            raise Diverged("snapshot x is strange", snapshot="x")
        case "fault":
            raise ZeroDivisionError("secret")
        case text:
            return Echo(text=text, from_=call.peer.name)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def pair(tmp_path: Path, sink: Sink) -> AsyncIterator[tuple[PeerBench, PeerBench]]:
    routes = [
        PeerRoute(method="POST", path="/echo", handler=echo, order=Echo),
        PeerRoute(method="PUT", path="/sink", handler=sink.take, order=Echo, is_stream=True),
    ]
    async with peer_bench(tmp_path / "a") as one, peer_bench(tmp_path / "b", routes, node="n0000000b") as other:
        await introduce(one, other)
        yield one, other


async def say(bench: PeerBench, text: str = "hi") -> Echo:
    return await bench.peers.client.call("other", "/echo", Echo(text=text), Echo)


async def pieces(count: int, size: int = 100_000) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


async def test_a_call_is_answered_and_known_to_be_of_whom(pair: tuple[PeerBench, PeerBench]) -> None:
    assert await say(pair[0]) == Echo(text="hi", from_="one")


async def test_an_error_of_the_peer_comes_back_as_the_same_error(pair: tuple[PeerBench, PeerBench]) -> None:
    with pytest.raises(Diverged, match="peer other: snapshot x is strange") as caught:
        await say(pair[0], "diverged")
    assert caught.value.details["snapshot"] == "x"


async def test_a_fault_of_the_peer_tells_nothing_of_its_inside(pair: tuple[PeerBench, PeerBench]) -> None:
    with pytest.raises(Exception, match="internal fault of the peer") as caught:
        await say(pair[0], "fault")
    assert "secret" not in str(caught.value)


async def test_a_body_of_another_version_is_refused(pair: tuple[PeerBench, PeerBench]) -> None:
    with pytest.raises(Invalid, match="another version"):
        await pair[0].peers.client.call("other", "/echo", Counted(count=1), Echo)


async def test_a_stream_arrives_whole(pair: tuple[PeerBench, PeerBench], sink: Sink) -> None:
    done = await pair[0].peers.client.stream("other", "/sink", Echo(text="a"), pieces(50), Counted)
    assert done.count == sink.count == 5_000_000


async def test_a_full_disk_at_the_peer_ends_the_stream_and_is_told(
    pair: tuple[PeerBench, PeerBench], sink: Sink
) -> None:
    with pytest.raises(NoSpace, match="peer other: pool tank is full"):
        await pair[0].peers.client.stream("other", "/sink", Echo(text="full"), pieces(10_000), Counted)
    assert sink.count < 2_000_000


async def test_an_error_of_the_sender_cuts_the_stream_and_is_the_one_that_is_told(
    pair: tuple[PeerBench, PeerBench], sink: Sink
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(200_000)
        raise NotFound("snapshot x is gone")

    with pytest.raises(NotFound, match="snapshot x is gone"):
        await pair[0].peers.client.stream("other", "/sink", Echo(text="a"), broken(), Counted)
    await eventually(lambda: sink.error is not None)
    assert isinstance(sink.error, Interrupted), "half a stream must not look whole"


async def test_whoever_is_not_trusted_gets_no_further_than_the_handshake(
    pair: tuple[PeerBench, PeerBench], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, other = pair
    async with peer_bench(tmp_path / "c", node="n0000000c") as stranger:
        await stranger.trust("other", other, other.url)
        with caplog.at_level(logging.WARNING, "horcrux.peers"):
            for _ in range(3):
                with pytest.raises(Unreachable, match="enter there what `horcrux peer show` prints"):
                    await say(stranger)
            await eventually(lambda: bool(caplog.records))
    refused = [r.getMessage() for r in caplog.records if "peers' port was refused" in r.getMessage()]
    assert len(refused) == 1, "told once"
    assert "127.0.0.1" in refused[0]
    assert "its certificate is not trusted here" in refused[0]


async def test_without_any_certificate_there_is_no_handshake(pair: tuple[PeerBench, PeerBench]) -> None:
    _, other = pair
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", other.listener.port, ssl=context)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        answer = await reader.read()
    except (ssl.SSLError, ConnectionError):
        answer = b""
    finally:
        writer.close()
    assert answer == b""


async def test_older_tls_is_not_spoken(pair: tuple[PeerBench, PeerBench], tmp_path: Path) -> None:
    one, other = pair
    context = one.peers.trust.client_context(one.peers.trust.find("other").name)
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", other.listener.port, ssl=context)


async def test_a_peer_that_shows_another_certificate_is_not_spoken_to(
    tmp_path: Path, pair: tuple[PeerBench, PeerBench]
) -> None:
    one, other = pair
    async with peer_bench(tmp_path / "c", node="n0000000c") as stranger:
        await one.trust("stranger", stranger, other.url)  # the address is the other's
        with pytest.raises(Unreachable, match="another certificate"):
            await one.peers.client.call("stranger", "/echo", Echo(text="hi"), Echo)


async def test_a_peer_that_is_removed_is_let_in_no_more(pair: tuple[PeerBench, PeerBench], tmp_path: Path) -> None:
    one, other = pair
    async with peer_bench(tmp_path / "c", node="n0000000c") as third:
        await other.trust("third", third)  # so that it goes on listening
        await other.peers.delete("one", None)
        with pytest.raises(Unreachable, match="enter there what `horcrux peer show` prints"):
            await say(one)
        assert other.listener.is_listening


async def test_the_port_is_open_only_while_somebody_is_trusted(pair: tuple[PeerBench, PeerBench]) -> None:
    one, other = pair
    port = other.listener.port
    await other.peers.delete("one", None)
    await eventually(lambda: not other.listener.is_listening)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    await other.trust("one", one)
    await eventually(lambda: other.listener.is_listening)


async def test_what_is_shown_of_a_peer_tells_whether_it_answers(pair: tuple[PeerBench, PeerBench]) -> None:
    one, _ = pair
    view = await one.peers.view("other")
    assert view.is_reachable is False
    assert "another version" in view.reason or "404" in view.reason, "nothing answers hello in this test"


async def test_the_same_certificate_is_not_entered_twice_and_ones_own_never(pair: tuple[PeerBench, PeerBench]) -> None:
    one, other = pair
    with pytest.raises(AlreadyExists, match="as peer other"):
        await one.trust("again", other)
    with pytest.raises(InvalidFields, match="own"):
        await one.trust("me", one)


@pytest.mark.parametrize(
    "url", ["http://h:1", "https://h", "https://h:x", "https://u:p@h:1", "https://h:1/x", "h:1", ""]
)
async def test_a_wrong_address_is_refused(pair: tuple[PeerBench, PeerBench], url: str) -> None:
    with pytest.raises(InvalidFields, match="url"):
        await pair[0].peers.create(NewPeer(name="x", url=url, certificate=""))


async def test_a_node_keeps_its_certificate_and_its_key_to_itself(tmp_path: Path) -> None:
    first = await asyncio.to_thread(open_identity, tmp_path, NodeId("n0000000a"))
    again = await asyncio.to_thread(open_identity, tmp_path, NodeId("n0000000a"))
    assert first == again
    mode = (await asyncio.to_thread(first.key_file.stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_certificate_of_another_key_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    await asyncio.to_thread(open_identity, tmp_path, NodeId("n0000000a"))
    await asyncio.to_thread((tmp_path / "peer.key").unlink)
    with pytest.raises(Invalid, match=r"peer\.crt is not of the key"):
        await asyncio.to_thread(open_identity, tmp_path, NodeId("n0000000a"))


async def test_trust_that_ends_ends_open_connections_too(pair: tuple[PeerBench, PeerBench]) -> None:
    one, other = pair
    context = one.peers.trust.client_context(one.peers.trust.find("other").name)
    _, writer = connection = await asyncio.open_connection("127.0.0.1", other.listener.port, ssl=context)
    await say(one)  # the handshake of the first has come to its end as well
    await other.peers.delete("one", None)
    try:
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n" + b'{"text":"hi"}')
        answer = await connection[0].read(1000)
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    assert b'"text":"hi"' not in answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 403 ")
