"""Who asks for a change, as every service that begins tasks is told beside the order itself."""

import msgspec

from agent.tasks import TaskOrder
from horcrux.auth.principal import Principal


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked, in which request, and how long the call may queue behind another task."""

    principal: Principal
    request_id: str = ""
    wait_s: int = 0

    def order(self, action: str, target: str, *locks: str) -> TaskOrder:
        """A task of theirs."""
        return TaskOrder(
            action=action,
            target=target,
            user=self.principal.user,
            request_id=self.request_id,
            locks=locks,
            wait_s=self.wait_s,
        )
