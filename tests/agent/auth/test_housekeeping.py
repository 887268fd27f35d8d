"""What sign-in does by itself goes on when the store cannot be written to for a while."""

from collections.abc import Sequence

from cluster.store.memory import MemoryStore
from horcrux.auth.permission import Role
from horcrux.errors import NoSpace
from horcrux.store import Compare, Op, TxnResult
from tests.support.auth import PASSWORD, signing_in
from tests.support.clock import FakeClock
from tests.support.waiting import eventually


class FullDisk(MemoryStore):
    is_full = False
    refused = 0

    async def txn(self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()) -> TxnResult:
        if self.is_full:
            self.refused += 1
            raise NoSpace("the disk is full")
        return await super().txn(compares, then, otherwise)


async def test_a_full_disk_shuts_nobody_out() -> None:
    clock = FakeClock()
    store = FullDisk(clock)
    async with signing_in(store, clock) as service:
        await service.users.create("root", PASSWORD, Role.ADMIN)
        session = (await service.login("root", PASSWORD)).token
        token = (await service.tokens.create(service.authenticate(session), "ci", None, None)).bearer
        service.authenticate(token)  # a use that the housekeeping writes down
        await eventually(lambda: clock.sleepers >= 2)
        store.is_full = True
        clock.advance(60)
        await eventually(lambda: store.refused > 0 and clock.sleepers >= 2)
        assert service.authenticate(session).user == "root"
