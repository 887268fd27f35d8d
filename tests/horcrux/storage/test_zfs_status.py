from hypothesis import given
from hypothesis import strategies as st

from horcrux.storage.pool import Health
from horcrux.storage.zfs_status import (
    ZpoolDevice,
    ZpoolStatus,
    health_of,
    parse_space,
    parse_status,
    problems_of,
)

GOOD = """\
  pool: tank
 state: ONLINE
  scan: scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov 22 14:00:00 2026
config:

\tNAME           STATE     READ WRITE CKSUM
\ttank           ONLINE       0     0     0
\t  mirror-0     ONLINE       0     0     0
\t    /dev/vdb1  ONLINE       0     0     0
\t    /dev/vdc1  ONLINE       0     0     0

errors: No known data errors
"""

OFFLINE = """\
  pool: tank
 state: DEGRADED
status: One or more devices has been taken offline by the administrator.
\tSufficient replicas exist for the pool to continue functioning in a
\tdegraded state.
action: Online the device using 'zpool online' or replace the device with
\t'zpool replace'.
config:

\tNAME                      STATE     READ WRITE CKSUM
\ttank                      DEGRADED     0     0     0
\t  mirror-0                DEGRADED     0     0     0
\t    /dev/vdb1             ONLINE       0     0     0
\t    10364846741279876436  OFFLINE      0     0     0  was /dev/vdc1

errors: No known data errors
"""

FAULTED_DISK = """\
  pool: tank
 state: DEGRADED
status: One or more devices are faulted in response to persistent errors.
config:

\tNAME           STATE     READ WRITE CKSUM
\ttank           DEGRADED     0     0     0
\t  raidz1-0     DEGRADED     0     0     0
\t    /dev/sda1  ONLINE       0     0     0
\t    /dev/sdb1  FAULTED      3   105     7  too many errors
\t    /dev/sdc1  ONLINE       0     0     2
\tlogs
\t  /dev/nvme0n1p1  ONLINE    0     0     0
\tspares
\t  /dev/sdd1    AVAIL

errors: No known data errors
"""

SUSPENDED = """\
  pool: tank
 state: SUSPENDED
status: One or more devices are faulted in response to IO failures.
action: Make sure the affected devices are connected, then run 'zpool clear'.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-HC
config:

\tNAME         STATE     READ WRITE CKSUM
\ttank         UNAVAIL      0     0     0  insufficient replicas
\t  /dev/vdb1  FAULTED      0    12     0  too many errors

errors: 4 data errors, use '-v' for a list
"""

DAMAGED = """\
  pool: tank
 state: ONLINE
status: One or more devices has experienced an error resulting in data
\tcorruption.  Applications may be affected.
  scan: scrub repaired 0B in 00:00:01 with 2 errors on Sun Nov 22 14:00:00 2026
config:

\tNAME         STATE     READ WRITE CKSUM
\ttank         ONLINE       0     0     0
\t  /dev/vdb1  ONLINE       0     0     4

errors: 2 data errors, use '-v' for a list
"""


def one(text: str) -> ZpoolStatus:
    (status,) = parse_status(text)
    return status


def test_a_whole_zpool_has_no_problems() -> None:
    status = one(GOOD)
    assert (status.name, status.state, status.errors) == ("tank", "ONLINE", "No known data errors")
    assert [(d.name, d.depth, d.is_disk) for d in status.devices] == [
        ("tank", 0, False),
        ("mirror-0", 1, False),
        ("/dev/vdb1", 2, True),
        ("/dev/vdc1", 2, True),
    ]
    assert health_of(status) is Health.GOOD
    assert problems_of(status) == ()


def test_a_disk_that_was_taken_away_is_named_by_its_old_path() -> None:
    status = one(OFFLINE)
    assert health_of(status) is Health.DEGRADED
    assert problems_of(status) == ("disk /dev/vdc1 of zpool tank is OFFLINE",)
    assert status.status.endswith("to continue functioning in a degraded state.")


def test_errors_are_told_disk_by_disk() -> None:
    assert problems_of(one(FAULTED_DISK)) == (
        "disk /dev/sdb1 of zpool tank is FAULTED (too many errors)",
        "disk /dev/sdb1 of zpool tank has met 3 read, 105 write and 7 checksum errors",
        "disk /dev/sdc1 of zpool tank has met 0 read, 0 write and 2 checksum errors",
    )


def test_a_suspended_zpool_is_faulted() -> None:
    status = one(SUSPENDED)
    assert health_of(status) is Health.FAULTED
    assert problems_of(status)[0].startswith("zpool tank is suspended")
    assert "disk /dev/vdb1 of zpool tank is FAULTED (too many errors)" in problems_of(status)


def test_an_online_zpool_with_damaged_data_is_not_good() -> None:
    status = one(DAMAGED)
    assert health_of(status) is Health.DEGRADED
    assert problems_of(status) == (
        "zpool tank has damaged data: 2 data errors, use '-v' for a list",
        "disk /dev/vdb1 of zpool tank has met 0 read, 0 write and 4 checksum errors",
        "the last scrub of zpool tank met 2 errors",
    )


def test_a_zpool_that_fills_is_told_and_a_full_one_is_degraded() -> None:
    status = one(GOOD)
    assert problems_of(status, 79) == ()
    assert "80 % full" in problems_of(status, 80)[0]
    assert health_of(status, 80) is Health.GOOD
    assert health_of(status, 90) is Health.DEGRADED


def test_several_zpools_are_read_from_one_answer() -> None:
    assert [(s.name, s.state) for s in parse_status(GOOD + OFFLINE.replace("tank", "pond"))] == [
        ("tank", "ONLINE"),
        ("pond", "DEGRADED"),
    ]
    assert parse_status("no pools available\n") == ()


def test_sizes_are_read_and_what_nobody_knows_is_nothing() -> None:
    sizes = parse_space("tank\t4026531840\t4026221568\t7\tONLINE\npond\t-\t-\t-\tUNAVAIL\n")
    assert [(s.name, s.size_bytes, s.free_bytes, s.capacity_percent, s.health) for s in sizes] == [
        ("tank", 4026531840, 4026221568, 7, "ONLINE"),
        ("pond", 0, 0, 0, "UNAVAIL"),
    ]


DEVICES = st.builds(
    ZpoolDevice,
    name=st.from_regex(r"\A/dev/[a-z]{3}[0-9]\Z"),
    state=st.sampled_from(["ONLINE", "DEGRADED", "OFFLINE", "FAULTED", "UNAVAIL", "REMOVED"]),
    depth=st.just(1),
    read_errors=st.integers(0, 9**9),
    write_errors=st.integers(0, 9**9),
    checksum_errors=st.integers(0, 9**9),
    note=st.sampled_from(["", "too many errors", "was /dev/sdz1"]),
)


@given(st.lists(DEVICES, max_size=6))
def test_what_zpool_prints_of_disks_is_read_as_it_was(devices: list[ZpoolDevice]) -> None:
    rows = "".join(
        f"\t  {d.name}  {d.state}  {d.read_errors} {d.write_errors} {d.checksum_errors}  {d.note}\n" for d in devices
    )
    text = f"  pool: tank\n state: ONLINE\nconfig:\n\n\tNAME STATE READ WRITE CKSUM\n{rows}\nerrors: No known data errors\n"
    assert list(one(text).devices) == devices


@given(st.lists(DEVICES, max_size=6))
def test_a_zpool_is_good_only_when_nothing_is_wrong_with_any_disk(devices: list[ZpoolDevice]) -> None:
    status = ZpoolStatus(name="tank", state="ONLINE", devices=tuple(devices))
    is_clean = all(d.state == "ONLINE" and not d.read_errors + d.write_errors + d.checksum_errors for d in devices)
    assert (health_of(status) is Health.GOOD) == is_clean
    assert (problems_of(status) == ()) == is_clean


@given(st.text(max_size=400))
def test_no_answer_breaks_the_reading(text: str) -> None:
    for status in parse_status(text + "\n  pool: x\n" + text):
        problems_of(status, 95)
    parse_space(text)
