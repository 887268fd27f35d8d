"""The signing keys' care: the first one, successors in time, and an end for those whose tokens have all ended."""

import msgspec

from agent.auth.sessions import AuthSettings
from agent.auth.state import AuthState
from horcrux.auth import signing
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, Stale
from horcrux.ids import Entropy
from horcrux.store import Compare, Put


class SigningKeys:
    def __init__(self, state: AuthState, clock: Clock, entropy: Entropy, settings: AuthSettings) -> None:
        self._state = state
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def turn(self) -> None:
        """There is a key that signs, and none older than its life. Any number of nodes may do this at once."""
        now = int(self._clock.now())
        documents = self._state.key_documents
        stored = {document.value.kid: document for document in await documents.list()}
        keys = [document.value for document in stored.values()]
        latest = signing.newest(keys)
        try:
            if latest is None:
                await documents.create("k1", signing.first_key(now, self._entropy))
            elif signing.is_rotation_due(latest, now, self._settings.key_life_s):
                following = signing.next_key(keys, now, self._entropy)
                retired = msgspec.structs.replace(latest, retired_at=following.signs_from)
                place = documents.key(following.kid)
                await documents.replace(
                    latest.kid,
                    stored[latest.kid],
                    retired,
                    also=[Put(place, documents.encode(following))],
                    when=[Compare(place, "create", 0)],
                )
        except (AlreadyExists, Stale):
            pass  # another node was first: its key is as good
        for key in keys:
            if not signing.may_verify(key, now, self._settings.session_ttl_s):
                await documents.delete(key.kid)
        await self._state.keys.load()
