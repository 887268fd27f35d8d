"""Images that would read the host are refused by their first bytes, before QEMU sees them."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horcrux.errors import Invalid
from horcrux.storage.image_check import HEAD_BYTES, ImageInfo, Sniffed, judge, sniff
from horcrux.storage.volume import IMAGE_FORMATS, MAX_SIZE_BYTES
from horcrux.units import GIB, MIB


def qcow2(
    *,
    version: int = 3,
    backing: bytes = b"",
    crypt: int = 0,
    incompatible: int = 0,
    size: int = GIB,
    extensions: bytes = b"",
    cluster_bits: int = 16,
) -> bytes:
    header_length = 104 if version == 3 else 72
    backing_at = header_length + len(extensions) + 8 if backing else 0
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        backing_at,
        len(backing),
        cluster_bits,
        size,
        crypt,
        1,
        65536,
        131072,
        1,
        0,
        0,
    )
    if version == 3:
        head += struct.pack(">QQQII", incompatible, 0, 0, 4, header_length)
    return (head + extensions + bytes(8) + backing).ljust(MIB // 8, b"\0")


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")


def vmdk(
    *, capacity: int = 2048, kind: str = "monolithicSparse", extents: str = 'RW 2048 SPARSE "a.vmdk"', more: str = ""
) -> bytes:
    text = f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="{kind}"\n{more}\n{extents}\n'.encode()
    head = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, capacity, 128, 1, 20).ljust(512, b"\0")
    return (head + text).ljust(65536, b"\0")


def iso() -> bytes:
    return bytes(32769) + b"CD001" + bytes(2000)


@pytest.mark.parametrize(
    ("head", "format_", "size"),
    [
        (qcow2(), "qcow2", GIB),
        (qcow2(version=2), "qcow2", GIB),
        (qcow2(incompatible=0b11000), "qcow2", GIB),
        (qcow2(extensions=extension(0xE2792ACA, b"raw")), "qcow2", GIB),
        (vmdk(), "vmdk", MIB),
        (vmdk(kind="streamOptimized"), "vmdk", MIB),
        (iso(), "iso", 5 * MIB),
        (b"\xeb\x63\x90" + bytes(600), "raw", 5 * MIB),
    ],
)
def test_an_image_is_known_by_its_content(head: bytes, format_: str, size: int) -> None:
    assert sniff(head[:HEAD_BYTES], 5 * MIB) == Sniffed(format_, size)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (qcow2(backing=b"/etc/shadow"), "backing file"),
        (qcow2(version=2, backing=b"/etc/shadow"), "backing file"),
        (qcow2(backing=b'json:{"driver":"file","filename":"/etc/shadow"}'), "backing file"),
        (qcow2(backing=b"nbd://10.0.0.1/disk"), "backing file"),
        (qcow2(incompatible=4), "another file"),
        (qcow2(incompatible=4, extensions=extension(0x44415441, b"/etc/shadow")), "another file"),
        (qcow2(extensions=extension(0x44415441, b"/etc/shadow")), "another file"),
        (qcow2(extensions=extension(0xE2792ACA, b"raw") + extension(0x44415441, b"json:{}")), "another file"),
        (qcow2(crypt=1), "encrypted"),
        (qcow2(crypt=2), "encrypted"),
        (qcow2(extensions=extension(0x0537BE77, bytes(16))), "encrypted"),
        (qcow2(incompatible=2), "damaged"),
        (qcow2(incompatible=1 << 40), "damaged"),
        (qcow2(cluster_bits=40), "damaged"),
        (qcow2(version=1), "version 1"),
        (qcow2()[:80], "damaged"),
        (qcow2(size=MAX_SIZE_BYTES + 1), "limit"),
        (qcow2(size=0), "limit"),
        (b'# Disk DescriptorFile\nRW 8 FLAT "/etc/passwd" 0\n', "description"),
        (b'\xef\xbb\xbf\n # disk descriptorFILE\nRW 8 FLAT "/etc/passwd" 0\n', "description"),
        (vmdk(capacity=0), "another file"),
        (vmdk(kind="monolithicFlat", extents='RW 8 FLAT "/etc/passwd" 0'), "names other files"),
        (vmdk(extents='RW 8 FLAT "/etc/passwd" 0'), "another file"),
        (vmdk(extents='RW 8 SPARSE "/etc/passwd"'), "another file"),
        (vmdk(extents='RW 8 SPARSE "a"\nRW 8 SPARSE "b"'), "another file"),
        (vmdk(more='parentFileNameHint="/etc/passwd"'), "backing file"),
        (vmdk(more="parentCID=12345678").replace(b"parentCID=ffffffff", b"#"), "backing file"),
        (b"\x1f\x8b\x08" + bytes(600), "gzip"),
        (b"\xfd7zXZ\x00" + bytes(600), "xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
        (bytes(257) + b"ustar" + bytes(600), "tar"),
        (b"vhdxfile" + bytes(600), "VHDX"),
        (b"LUKS\xba\xbe" + bytes(600), "LUKS"),
    ],
)
def test_an_image_that_reaches_out_or_is_no_disk_is_refused_with_the_reason(head: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        sniff(head[:HEAD_BYTES], 5 * MIB)


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(Invalid, match="empty"):
        sniff(b"", 0)


@given(st.binary(max_size=2000), st.integers(1, 10 * GIB))
@example(b"QFI\xfb", 4)
@example(b"KDMV", 4)
@example(qcow2(extensions=struct.pack(">II", 1, 0xFFFFFFF8))[:400], 400)
def test_any_bytes_are_judged_or_refused(head: bytes, size: int) -> None:
    try:
        found = sniff(head, size)
    except Invalid:
        return
    assert found.format in IMAGE_FORMATS
    assert 0 < found.virtual_size_bytes <= MAX_SIZE_BYTES


@given(st.binary(min_size=104, max_size=104), st.binary(max_size=300))
def test_no_qcow2_header_that_names_a_file_passes(header: bytes, rest: bytes) -> None:
    """Whatever else stands in it: bytes 8 to 19 are the backing file, bit 2 at 72 to 79 the data file."""
    head = b"QFI\xfb" + header[4:] + rest
    version, backing_at, backing_size = struct.unpack_from(">IQI", head, 4)
    try:
        sniff(head, len(head))
    except Invalid:
        return
    assert (backing_at, backing_size) == (0, 0)
    assert version == 2 or not struct.unpack_from(">Q", head, 72)[0] & 4


RAW = Sniffed("raw", MIB)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (ImageInfo(format="qcow2", virtual_size=MIB), "takes it for"),
        (ImageInfo(format="raw", virtual_size=MIB, backing_filename="/etc/shadow"), "backing"),
        (ImageInfo(format="raw", virtual_size=MIB, full_backing_filename="json:{}"), "backing"),
        (ImageInfo(format="raw", virtual_size=MIB, encrypted=True), "encrypted"),
        (ImageInfo(format="raw", virtual_size=MAX_SIZE_BYTES + 512), "limit"),
        (ImageInfo(format="raw", virtual_size=MIB, format_specific={"data": {"data-file": "/x"}}), "another file"),
        (ImageInfo(format="raw", virtual_size=MIB, format_specific={"data": {"encrypt": {}}}), "encrypted"),
        (ImageInfo(format="raw", virtual_size=MIB, format_specific={"data": {"corrupt": True}}), "damaged"),
        (ImageInfo(format="raw", virtual_size=MIB, format_specific={"data": {"parent-cid": 7}}), "backing"),
        (
            ImageInfo(
                format="raw",
                virtual_size=MIB,
                filename="/dev/stdin",
                format_specific={"data": {"extents": [{"filename": "/x"}]}},
            ),
            "another file",
        ),
    ],
)
def test_what_qemu_sees_is_judged_too(info: ImageInfo, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        judge(info, RAW)


def test_the_size_that_qemu_sees_counts() -> None:
    assert judge(ImageInfo(format="raw", virtual_size=1024), Sniffed("iso", 1000)) == Sniffed("iso", 1024)
