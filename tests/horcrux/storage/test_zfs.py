import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.errors import InvalidFields
from horcrux.storage.pool import PoolType
from horcrux.storage.pool_options import check_pool
from horcrux.storage.volume import AS_THE_POOL, VolumeOptions
from horcrux.storage.zfs import (
    ZfsOptions,
    check_dataset,
    compression_index,
    device_path,
    encryption_index,
    padded_bytes,
    parse_block_size,
    volume_dataset,
    volume_name,
    zpool_of,
)
from horcrux.units import MIB

BLOCK_SIZES = [512 << n for n in range(9)]


@given(st.integers(min_value=1, max_value=2**50))
def test_a_padded_size_holds_what_was_asked_for_and_less_than_a_mib_more(size: int) -> None:
    padded = padded_bytes(size)
    assert size <= padded < size + MIB
    assert padded_bytes(padded) == padded


@given(st.integers(min_value=1, max_value=2**50), st.sampled_from(BLOCK_SIZES))
def test_every_block_size_divides_a_padded_size(size: int, block_size: int) -> None:
    assert padded_bytes(size) % block_size == 0


@pytest.mark.parametrize("size", BLOCK_SIZES)
def test_powers_of_two_from_512_to_128k_are_block_sizes(size: int) -> None:
    assert parse_block_size(str(size), "f") == size
    if size >= 1024:
        assert parse_block_size(f"{size // 1024}K", "f") == parse_block_size(f"{size // 1024}k", "f") == size


@given(st.text(max_size=8).filter(lambda word: not word.isascii() or not word[:1].isdigit()))
def test_what_does_not_begin_with_a_digit_is_no_block_size(word: str) -> None:
    with pytest.raises(InvalidFields, match=re.escape("options.block_size")):
        parse_block_size(word, "options.block_size")


@given(st.integers(0, 10**6))
def test_a_number_is_a_block_size_when_it_is_a_power_of_two_in_the_range(number: int) -> None:
    if number in BLOCK_SIZES:
        assert parse_block_size(str(number), "f") == number
    else:
        with pytest.raises(InvalidFields):
            parse_block_size(str(number), "f")


@pytest.mark.parametrize("word", ["0", "256", "3000", "256K", "1M", "-8K", "8 K", "٨", ""])
def test_what_is_no_block_size_is_refused(word: str) -> None:
    with pytest.raises(InvalidFields, match="power of two"):
        parse_block_size(word, "f")


@pytest.mark.parametrize("name", ["tank", "tank/vms", "rpool/data", "t.1-x_y:z/a/b.c"])
def test_datasets_are_taken_as_they_are(name: str) -> None:
    assert check_dataset(name, "target") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/tank",
        "tank/",
        "tank//a",
        "1tank",
        "tank/../x",
        "tank/-a",
        "tank@s",
        "tank#b",
        "tank/a b",
        "tank/a%b",
        "tank\n",
        "-o",
        "tank/images",
        "tank/backups",
    ],
)
def test_what_zfs_or_we_cannot_use_is_no_dataset(name: str) -> None:
    with pytest.raises(InvalidFields, match="target"):
        check_dataset(name, "target")


def test_a_volume_is_the_dataset_below_its_pool() -> None:
    assert volume_dataset("tank/vms", "vm-100-disk0") == "tank/vms/vm-100-disk0"
    assert device_path("tank/vms/vm-100-disk0") == "/dev/zvol/tank/vms/vm-100-disk0"


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,60}\Z").filter(lambda name: ".." not in name))
def test_every_name_of_a_volume_is_found_again_in_its_dataset(name: str) -> None:
    if name not in ("images", "backups"):
        dataset = volume_dataset("tank/vms", name)
        assert "+" not in dataset
        assert volume_name("tank/vms", dataset) == name


def test_what_lies_elsewhere_keeps_its_whole_name() -> None:
    assert volume_name("tank/vms", "tank/other:s/disk") == "tank/other:s/disk"


@pytest.mark.parametrize("name", ["a:b", "images", "backups", "x" * 200])
def test_names_that_zfs_or_the_pool_needs_itself_are_refused(name: str) -> None:
    with pytest.raises(InvalidFields, match="name"):
        volume_dataset("tank", name)


@pytest.mark.parametrize("name", ["tank", "tank/a/b", "tank@s", "tank/a@s", "tank/a#b"])
def test_the_zpool_is_the_first_word(name: str) -> None:
    assert zpool_of(name) == "tank"


def test_a_pool_without_options_is_sparse_and_else_as_zfs_does_it() -> None:
    assert ZfsOptions.of({}) == ZfsOptions(is_sparse=True)
    assert ZfsOptions.of({}).merged(AS_THE_POOL) == VolumeOptions(is_sparse=True)


def test_a_volume_differs_from_its_pool_where_it_says_so() -> None:
    pool = ZfsOptions.of({"sparse": "false", "block_size": "16K", "compression": "lz4"})
    assert pool.merged(AS_THE_POOL) == VolumeOptions(is_sparse=False, block_size_bytes=16384, compression="lz4")
    wanted = VolumeOptions(is_sparse=True, block_size_bytes=4096, compression="zstd-7")
    assert pool.merged(wanted) == wanted
    assert pool.merged(VolumeOptions(compression="off")).block_size_bytes == 16384


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"thin": "yes"}, "options.thin"),
        ({"sparse": "yes"}, "options.sparse"),
        ({"block_size": "12K"}, "options.block_size"),
        ({"compression": "best"}, "options.compression"),
        ({"compression": "zstd-20"}, "options.compression"),
        ({"compression": "gzip-0"}, "options.compression"),
        ({"compression": "lz4\n"}, "options.compression"),
        ({"encryption": "rot13", "key_file": "/k"}, "options.encryption"),
        ({"encryption": "on"}, "options.key_file"),
        ({"key_file": "/k"}, "options.key_file"),
        ({"encryption": "on", "key_file": "k"}, "options.key_file"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        check_pool(PoolType.ZFS, "tank/vms", options)
    assert [problem.field for problem in caught.value.problems] == [field]


@pytest.mark.parametrize(
    "options",
    [VolumeOptions(block_size_bytes=1000), VolumeOptions(compression="best"), VolumeOptions(block_size_bytes=1)],
)
def test_a_wrong_option_of_a_volume_is_refused(options: VolumeOptions) -> None:
    with pytest.raises(InvalidFields, match="options"):
        ZfsOptions().merged(options)


def test_options_are_kept_as_they_were_given() -> None:
    options = {"sparse": "false", "encryption": "aes-256-gcm", "key_file": "/etc/horcrux/tank.key"}
    assert check_pool(PoolType.ZFS, "tank/vms", options) == ("tank/vms", options)


@pytest.mark.parametrize(
    ("word", "number"),
    [("on", 1), ("off", 2), ("gzip", 10), ("gzip-1", 5), ("gzip-9", 13), ("lz4", 15), ("zstd", 16), ("zstd-3", 0x190)],
)
def test_words_of_compression_are_the_kernels_numbers(word: str, number: int) -> None:
    assert compression_index(word) == number


def test_words_of_encryption_are_the_kernels_numbers() -> None:
    assert [encryption_index(w) for w in ("on", "aes-128-ccm", "aes-256-gcm")] == [1, 3, 8]
