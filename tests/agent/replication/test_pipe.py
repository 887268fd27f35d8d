import asyncio
import os

from agent.replication.pipe import beside, pipe_for_reading, pipe_for_writing


def read_all(fd: int) -> bytes:
    """As the kernel does it: blocking, on a thread."""
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read()


async def test_what_is_written_is_read_to_its_end_and_closing_twice_does_no_harm() -> None:
    async with pipe_for_writing() as (writer, theirs):
        reading = asyncio.create_task(asyncio.to_thread(read_all, theirs))
        for _ in range(50):
            await writer.write(b"x" * 100_000)
        await writer.end()
        writer.cut()
        assert len(await reading) == 5_000_000
        os.close(theirs)


async def test_a_writer_that_is_cut_before_everything_was_read_ends_the_reader() -> None:
    async with pipe_for_writing() as (writer, theirs):
        writing = asyncio.create_task(writer.write(b"x" * 5_000_000))
        await asyncio.sleep(0)
        writer.cut()
        writer.cut()
        await writing
        assert len(await asyncio.to_thread(read_all, theirs)) < 5_000_000
        os.close(theirs)


async def test_a_reader_that_goes_is_noticed() -> None:
    async with pipe_for_writing() as (writer, theirs):
        os.close(theirs)
        async with asyncio.timeout(20):
            while not writer.is_deserted:
                await writer.write(b"x" * 100_000)
        await writer.end()


async def test_leaving_a_reader_ends_whoever_writes() -> None:
    def write_for_ever(fd: int) -> None:
        try:
            while True:
                os.write(fd, b"x" * 65536)
        except BrokenPipeError:
            os.close(fd)

    async with (
        pipe_for_reading() as (reader, theirs),
        beside(asyncio.to_thread(write_for_ever, theirs), reader.cut) as writing,
    ):
        assert await reader.read()
    assert writing.done()
