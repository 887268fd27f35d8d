"""Volumes that are being made, so that none is left over which is nobody's.

ZFS makes a dataset in one transaction and sets its properties, our marks among them, in a later one ("It would be nice to do this
atomically", zfs_ioctl.c, zfs_ioc_create). When the power goes in between, a volume stays that looks like somebody else's. So
the dataset of the pool says before what will be made, and no longer says it afterwards:

noted -> made -> marked -> forgotten      noted and not marked when the pool is opened: it is marked as a cut-off filling
"""

import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.storage import zfs_programs
from agent.storage.zfs_link import ZfsLink
from horcrux.errors import HorcruxError
from horcrux.ids import NodeId
from horcrux.storage.zfs import FILLING, NODE_MARK, STATE_MARK

log = logging.getLogger(__name__)

_PREFIX = "horcrux:making-"

_NOTE = """
local argv = (...)["argv"]
if not zfs.exists(argv["target"]) or zfs.exists(argv["dataset"]) then return "no" end
local refused = zfs.sync.set_prop(argv["target"], argv["key"], argv["dataset"])
if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. argv["target"] end
return "done"
"""
"""argv: target, dataset, key; writes. done, no (there is one of that name, which is not the one that will be made), refused."""

_NOTES = f"""
local target, rows = (...)["argv"]["target"], {{}}
if not zfs.exists(target) then return "" end
for name, value, source in zfs.list.user_properties(target) do
  if source == target and string.find(name, "{_PREFIX}", 1, true) == 1 then rows[#rows + 1] = name .. "\\t" .. value end
end
return table.concat(rows, "\\n")
"""
"""argv: target. key, dataset."""

_CLAIM = f"""
local argv = (...)["argv"]
local dataset, word = argv["dataset"], "nothing"
if zfs.exists(dataset) then
  local _, source = zfs.get_prop(dataset, "{NODE_MARK}")
  if source ~= dataset and zfs.get_prop(dataset, "type") == "volume" then
    word = "claimed"
    for name, value in pairs({{["{STATE_MARK}"] = "{FILLING}", ["{NODE_MARK}"] = argv["node"]}}) do
      local refused = zfs.sync.set_prop(dataset, name, value)
      if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. dataset end
    end
  end
end
zfs.sync.inherit(argv["target"], argv["key"])
return word
"""
"""argv: target, dataset, key, node; writes. nothing, claimed, refused."""


class ZfsBirths:
    def __init__(self, link: ZfsLink, node: NodeId) -> None:
        self._link = link
        self._node = node
        self._making: Counter[str] = Counter()

    @asynccontextmanager
    async def noted(self, target: str, dataset: str) -> AsyncIterator[None]:
        """Around the making of a volume of the pool on `target`: a cut within is known when the pool is opened next."""
        arguments = {"target": target, "dataset": dataset, "key": _key(dataset)}
        self._making[dataset] += 1
        try:
            is_noted = await self._link.program(target, _NOTE, arguments, writes=True) == "done"
            try:
                yield
            finally:
                if is_noted:
                    await self._forget(target, dataset)
        finally:
            self._making[dataset] -= 1

    async def claim(self, target: str) -> None:
        """What a cut left without marks is a cut-off filling of ours; no note is left but of what is being made now."""
        for line in zfs_programs.lines_of(await self._link.program(target, _NOTES, {"target": target})):
            key, _, dataset = line.partition("\t")
            if self._making[dataset]:
                continue
            arguments = {"target": target, "dataset": dataset, "key": key, "node": self._node}
            word = await self._link.program(target, _CLAIM, arguments, writes=True)
            log.info("volume %s was being made when the host or the agent ended: %s", dataset, word)

    async def _forget(self, target: str, dataset: str) -> None:
        marks = {"dataset": target, _key(dataset): ""}
        try:
            await self._link.program(target, zfs_programs.MARK, marks, writes=True)
        except HorcruxError as err:  # what was made is marked or not there: the note is dropped when the pool is opened
            log.warning("%s still has the note that %s is being made: %s", target, dataset, err)


def _key(dataset: str) -> str:
    """Names of properties are shorter than those of volumes may be, and have no capitals."""
    return _PREFIX + hashlib.sha256(dataset.encode()).hexdigest()[:32]
