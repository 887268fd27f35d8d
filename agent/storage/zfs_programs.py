"""Channel programs: what is asked of a zpool, or done to it, in one call inside the kernel (zfs-program(8)).

Lua of the module's own kind: no pcall, integers only. They return text, a row a line and a tab between columns, because a
thousand rows as nested tables cost pyzfs ten times what they cost the kernel. Names cannot hold tabs, and what a user
property holds is compared in here and not printed.

A dataset is ours when the mark `horcrux:node` is set on itself: what a child inherits is no mark.
"""

import msgspec

from horcrux.errors import Unreachable
from horcrux.storage.zfs import FILLING, NODE_MARK, POOL_MARK, STATE_MARK

_OURS = f"""
local argv = (...)["argv"]
local node = argv["node"]
local function get(dataset, property)
  local value = zfs.get_prop(dataset, property)
  if value == nil then return "" end
  return value
end
local function is_ours(dataset)
  local mark, source = zfs.get_prop(dataset, "{NODE_MARK}")
  return mark == node and source == dataset
end
local function row(dataset)
  local state = 0
  if get(dataset, "{STATE_MARK}") == "{FILLING}" then state = 1 end
  return table.concat({{dataset, get(dataset, "type"), get(dataset, "volsize"), get(dataset, "used"),
    get(dataset, "refreservation"), get(dataset, "keystatus"), state, get(dataset, "origin"),
    get(dataset, "guid")}}, "\\t")
end
"""

LIST = (
    _OURS
    + """
local target, rows = argv["target"], {}
if not zfs.exists(target) then return "missing" end
for child in zfs.list.children(target) do
  if is_ours(child) and get(child, "type") == "volume" then rows[#rows + 1] = row(child) end
end
return table.concat(rows, "\\n")
"""
)
"""argv: target, node. A row for each volume of ours below the dataset; `missing`."""

FIND = (
    _OURS
    + """
local dataset = argv["dataset"]
if not zfs.exists(dataset) then return "missing" end
if not is_ours(dataset) then return "foreign" end
return row(dataset)
"""
)
"""argv: dataset, node. Its row, `missing`, or `foreign`."""

SPACE = """
local target = (...)["argv"]["target"]
if not zfs.exists(target) then return "missing" end
local key = zfs.get_prop(target, "keystatus")
if key == nil then key = "none" end
return table.concat({zfs.get_prop(target, "used"), zfs.get_prop(target, "available"), key}, "\\t")
"""
"""argv: target. used, available, keystatus."""

MARKS = f"""
local argv = (...)["argv"]
local dataset = argv["dataset"]
if not zfs.exists(dataset) then return "missing" end
local mark, source = zfs.get_prop(dataset, "{NODE_MARK}")
local kind = zfs.get_prop(dataset, "type")
local key = zfs.get_prop(dataset, "keystatus")
local folder = zfs.get_prop(dataset, "mountpoint")
local whose = "free"
local pool, of = zfs.get_prop(dataset, "{POOL_MARK}")
if pool == nil or of ~= dataset then pool = "" end
if mark ~= nil and source == dataset then
  if mark == argv["node"] then whose = "ours" else whose = "other" end
end
return table.concat({{whose, pool, kind, key or "none", folder or ""}}, "\\t")
"""
"""argv: dataset, node. free|ours|other, pool, type, keystatus, mountpoint."""

SNAPSHOTS = """
local dataset, rows = (...)["argv"]["dataset"], {}
if not zfs.exists(dataset) then return "missing" end
for s in zfs.list.snapshots(dataset) do
  rows[#rows + 1] = table.concat({s, (zfs.get_prop(s, "createtxg")), (zfs.get_prop(s, "creation")),
    (zfs.get_prop(s, "used")), (zfs.get_prop(s, "guid")), (zfs.get_prop(s, "volsize")) or 0}, "\\t")
end
return table.concat(rows, "\\n")
"""
"""argv: dataset. snapshot, createtxg, creation, used, guid (signed), volsize; `missing`."""

CLONES = """
local dataset, rows = (...)["argv"]["dataset"], {}
if not zfs.exists(dataset) then return "missing" end
for s in zfs.list.snapshots(dataset) do
  for clone in zfs.list.clones(s) do
    if string.find(clone, "%", 1, true) == nil then rows[#rows + 1] = clone end
  end
end
return table.concat(rows, "\\n")
"""
"""argv: dataset. A row for each clone of each of its snapshots, but for what a cut-off receive left (`%recv`); `missing`."""

DESTROY = (
    _OURS
    + f"""
local dataset = argv["dataset"]
if not zfs.exists(dataset) then return "gone" end
if not is_ours(dataset) or get(dataset, "type") ~= "volume" then return "foreign" end
if argv["leftover"] ~= nil then
  if get(dataset, "{STATE_MARK}") ~= "{FILLING}" or "" .. get(dataset, "guid") ~= argv["leftover"] then return "other" end
end
"""
    + """
local snapshots, clones, holds, is_receiving = {}, {}, {}, false
for s in zfs.list.snapshots(dataset) do
  snapshots[#snapshots + 1] = s
  for clone in zfs.list.clones(s) do
    if string.find(clone, dataset .. "/%", 1, true) == 1 then is_receiving = true else clones[#clones + 1] = clone end
  end
  for tag in zfs.list.holds(s) do holds[#holds + 1] = s .. "\\t" .. tag end
end
if #clones > 0 then return "clones\\n" .. table.concat(clones, "\\n") end
if #holds > 0 then return "holds\\n" .. table.concat(holds, "\\n") end
if is_receiving then return "receiving" end
if #snapshots > 0 then
  local refused = zfs.check.rollback(dataset)
  if refused == EEXIST then return "bookmarks" end
  if refused == EBUSY or refused == EAGAIN then return "busy" end
  -- these are found out after it is known that nobody has it open
  if refused ~= 0 and refused ~= ENOSPC and refused ~= EDQUOT then
    return "refused\\n" .. refused .. "\\t" .. dataset
  end
end
for _, s in ipairs(snapshots) do
  local refused = zfs.check.destroy(s)
  if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. s end
end
for _, s in ipairs(snapshots) do
  local refused = zfs.sync.destroy(s)
  if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. s end
end
local refused = zfs.sync.destroy(dataset)
if refused == EBUSY then return "busy" end
if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. dataset end
return "gone"
"""
)
"""argv: dataset, node, and for what a cut-off filling left its guid, `leftover`; writes. The volume is gone with its
snapshots, in one step, or nothing has changed: gone, foreign, other (no longer that leftover), clones, holds, busy (somebody
has it open), bookmarks (one is newer than its snapshots: they have to go first), receiving (a receive into it was cut off, or is
under way), refused (an errno, and what it is about). Everything that can be checked is, before the first thing goes.

ZFS answers EBUSY for a volume with snapshots whether it is open or not; only a rollback, which is merely checked here, tells."""

OPEN = """
local dataset = (...)["argv"]["dataset"]
if not zfs.exists(dataset) then return "missing" end
local refused = zfs.check.rollback(dataset)
if refused == EBUSY or refused == EAGAIN then return "busy" end
if refused ~= 0 and refused ~= EEXIST and refused ~= ESRCH then return "refused\\n" .. refused .. "\\t" .. dataset end
return "free"
"""
"""argv: dataset; run as one that writes, though nothing is. Whether it could be rolled back to its newest snapshot: free (also
when a bookmark is newer, which is looked at before whether it is open), busy, refused, missing."""

DESTROY_SNAPSHOT = """
local snapshot, rows = (...)["argv"]["snapshot"], {}
if not zfs.exists(snapshot) then return "gone" end
for clone in zfs.list.clones(snapshot) do rows[#rows + 1] = clone end
if #rows > 0 then return "clones\\n" .. table.concat(rows, "\\n") end
for tag in zfs.list.holds(snapshot) do rows[#rows + 1] = tag end
if #rows > 0 then return "holds\\n" .. table.concat(rows, "\\n") end
local refused = zfs.sync.destroy(snapshot)
if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. snapshot end
return "gone"
"""
"""argv: snapshot; writes. gone, clones, holds, refused."""

MARK = """
local argv = (...)["argv"]
local dataset = argv["dataset"]
if not zfs.exists(dataset) then return "missing" end
for name, value in pairs(argv) do
  if name ~= "dataset" then
    local refused = 0
    if value == "" then refused = zfs.sync.inherit(dataset, name) else refused = zfs.sync.set_prop(dataset, name, value) end
    if refused ~= 0 then return "refused\\n" .. refused .. "\\t" .. name end
  end
end
return "done"
"""
"""argv: dataset, and user properties to set, or with an empty value to remove; writes. done, missing, refused."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset of ours. `origin` is the snapshot it is a clone of."""

    dataset: str
    type: str
    volsize: int
    used: int
    refreservation: int
    is_locked: bool
    """Its encryption key is not loaded."""
    is_filling: bool
    origin: str | None
    guid: str
    """Its own for ever: another of the same name has another."""


class SnapshotRow(msgspec.Struct, frozen=True, kw_only=True):
    """Sorts by `createtxg`, the order in which they were made; `creation` has whole seconds only."""

    name: str
    createtxg: int
    creation: int
    used: int
    guid: int
    volsize: int


class MarksRow(msgspec.Struct, frozen=True, kw_only=True):
    whose: str
    pool: str
    """Id of the pool it is marked with, empty without."""
    type: str
    is_locked: bool
    is_encrypted: bool
    mountpoint: str


def read_row(line: str) -> Row:
    dataset, type_, volsize, used, reserved, key, state, origin, guid = _columns(line, 9)
    return Row(
        dataset=dataset,
        type=type_,
        volsize=int(volsize or 0),
        used=int(used or 0),
        refreservation=int(reserved or 0),
        is_locked=key == "unavailable",
        is_filling=state == "1",
        origin=origin or None,
        guid=guid,
    )


def read_snapshots(text: str) -> list[SnapshotRow]:
    """Oldest first."""
    rows = []
    for line in lines_of(text):
        name, createtxg, creation, used, guid, volsize = _columns(line, 6)
        row = SnapshotRow(
            name=name.partition("@")[2],
            createtxg=int(createtxg),
            creation=int(creation),
            used=int(used),
            guid=int(guid) % 2**64,
            volsize=int(volsize),
        )
        rows.append(row)
    return sorted(rows, key=lambda row: row.createtxg)


def read_marks(text: str) -> MarksRow:
    whose, pool, type_, key, mountpoint = _columns(text, 5)
    return MarksRow(
        whose=whose,
        pool=pool,
        type=type_,
        is_locked=key == "unavailable",
        is_encrypted=key != "none",
        mountpoint=mountpoint,
    )


def read_space(text: str) -> tuple[int, int, bool]:
    """Used, available, and whether the key is missing."""
    used, available, key = _columns(text, 3)
    return int(used), int(available), key == "unavailable"


def read_verdict(text: str) -> tuple[str, list[str]]:
    """The word, and the rows below it."""
    word, _, rest = text.partition("\n")
    return word, lines_of(rest)


def lines_of(text: str) -> list[str]:
    return text.split("\n") if text else []


def _columns(line: str, count: int) -> list[str]:
    columns = line.split("\t")
    if len(columns) != count:
        raise Unreachable(f"ZFS answered {len(columns)} columns where {count} were asked for: {line[:200]}")
    return columns
