import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horcrux.errors import InvalidFields
from horcrux.storage.pool import check_pool_target, overlaps
from horcrux.storage.volume import (
    MAX_SIZE_GB,
    VOLUME_FORMATS,
    check_sha256,
    check_size_gb,
    check_volume_name,
    parse_volume_file,
    volume_file,
)
from horcrux.units import GIB, MIB

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith(".part")
)


@given(names, st.sampled_from(VOLUME_FORMATS))
def test_a_volumes_file_tells_its_name_and_format(name: str, format_: str) -> None:
    assert check_volume_name(name, "name") == name
    assert parse_volume_file(volume_file(name, format_)) == (name, format_)


@given(st.text(max_size=200))
def test_a_name_that_passes_stays_in_its_folder(name: str) -> None:
    try:
        check_volume_name(name, "name")
    except InvalidFields:
        return
    assert "/" not in name
    assert "\0" not in name
    assert name.isascii()
    assert not name.startswith(".")
    assert ".." not in name
    assert len(volume_file(name, "qcow2") + ".part") <= 255


@given(st.text(max_size=60))
def test_only_files_named_like_volumes_are_volumes(file: str) -> None:
    parsed = parse_volume_file(file)
    if parsed is not None:
        assert volume_file(*parsed) == file
        assert check_volume_name(parsed[0], "name")


@pytest.mark.parametrize(
    "file", ["images", ".about", "a", "a.part", "a.qcow2.part", ".qcow2", "a.iso", "../a.raw", "a..b.raw"]
)
def test_what_is_no_volume_is_not_taken_for_one(file: str) -> None:
    assert parse_volume_file(file) is None


@given(st.floats(allow_nan=True, allow_infinity=True))
@example(5e-324)
def test_a_size_is_whole_mebibytes_and_at_least_what_was_asked(size_gb: float) -> None:
    try:
        size = check_size_gb(size_gb, "size_gb")
    except InvalidFields:
        assert not 0 < size_gb <= MAX_SIZE_GB
        return
    assert size % MIB == 0
    assert int(size_gb * GIB) <= size < size_gb * GIB + MIB + 1
    assert size > 0


@pytest.mark.parametrize("size_gb", [0, -1, MAX_SIZE_GB + 1, float("nan"), float("inf")])
def test_an_impossible_size_names_the_field(size_gb: float) -> None:
    with pytest.raises(InvalidFields, match=r"disks\[0\]\.size_gb"):
        check_size_gb(size_gb, "disks[0].size_gb")


def test_a_checksum_is_compared_in_lower_case() -> None:
    assert check_sha256("AB" * 32, "sha256") == "ab" * 32
    for wrong in ("", "ab", "g" * 64, "ab" * 32 + "\n"):
        with pytest.raises(InvalidFields, match="sha256"):
            check_sha256(wrong, "sha256")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "vms",
        "/",
        "//",
        "/srv",
        "/etc",
        "/etc/vms",
        "/srv/../etc",
        "/usr/share/x",
        "/proc/1",
        "/srv/a\n",
        "/srv/\0",
        "/./",
    ],
)
def test_a_folder_that_is_the_systems_is_refused(target: str) -> None:
    with pytest.raises(InvalidFields, match="target"):
        check_pool_target(target, "target")


def test_a_folder_is_kept_in_its_shortest_form() -> None:
    assert check_pool_target("//srv//vms/./", "target") == "/srv/vms"
    assert check_pool_target("/srv/ä & <b>", "target") == "/srv/ä & <b>"


def test_folders_overlap_when_one_holds_the_other() -> None:
    assert overlaps("/srv/a", "/srv/a")
    assert overlaps("/srv/a", "/srv/a/b")
    assert overlaps("/srv/a/b", "/srv/a")
    assert not overlaps("/srv/a", "/srv/ab")
