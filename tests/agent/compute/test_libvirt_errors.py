"""The sentences are libvirt's own, as met on Debian 12."""

import libvirt
import pytest

from agent.compute.libvirt_errors import from_libvirt
from horcrux.errors import (
    AlreadyExists,
    Conflict,
    HorcruxError,
    HostLacks,
    InUse,
    Invalid,
    InvalidFields,
    NoSpace,
    NotFound,
    Unavailable,
    Unreachable,
)


def libvirt_error(code: int, text: str, domain: int = libvirt.VIR_FROM_QEMU) -> libvirt.libvirtError:
    """As the binding makes it: code, domain, message, level, three strings, two numbers."""
    error = libvirt.libvirtError(text)
    error.err = (code, domain, text, libvirt.VIR_ERR_ERROR, None, None, None, -1, -1)
    return error


@pytest.mark.parametrize(
    ("code", "text", "kind", "remedy"),
    [
        ("INTERNAL_ERROR", "Cannot access storage file '/root/a.qcow2': Permission denied", HostLacks, "setfacl"),
        (
            "INTERNAL_ERROR",
            "Could not access KVM kernel module: No such file or directory",
            HostLacks,
            "horcrux doctor",
        ),
        ("INTERNAL_ERROR", "file system may not support O_DIRECT", HostLacks, "writeback"),
        ("INTERNAL_ERROR", 'Failed to get "write" lock', InUse, "another process"),
        ("SYSTEM_ERROR", "Failed to bind socket to '/x': Address already in use", Conflict, "listens"),
        ("SYSTEM_ERROR", "cannot write data to file '/x': No space left on device", NoSpace, "free"),
        ("INTERNAL_ERROR", "cannot set up guest memory 'pc.ram': Cannot allocate memory", Unavailable, "less memory"),
        ("SYSTEM_ERROR", "Cannot get interface MTU on 'br9': No such device", HostLacks, "bridge"),
        ("SYSTEM_ERROR", "Cannot access storage file '/p/a.raw': No such file or directory", Unavailable, "pool"),
        ("OPERATION_FAILED", "domain 'a' already exists with uuid 1", AlreadyExists, "another domain"),
        ("OPERATION_INVALID", "Requested operation is not valid: domain is not running", Conflict, "not running"),
        ("CONFIG_UNSUPPORTED", "unsupported configuration: CPU model foo", HostLacks, "foo"),
        ("XML_ERROR", "XML error: no such thing", Invalid, "no such thing"),
        ("NO_DOMAIN", "Domain not found", NotFound, "vm-100"),
        ("INTERNAL_ERROR", "client socket is closed", Unreachable, "libvirtd"),
        ("NO_CONNECT", "no connection driver", Unreachable, "libvirtd"),
    ],
)
def test_an_error_of_libvirt_is_told_in_our_tree_with_what_to_do(
    code: str, text: str, kind: type[HorcruxError], remedy: str
) -> None:
    told = from_libvirt(libvirt_error(getattr(libvirt, f"VIR_ERR_{code}"), text), "vm-100")
    assert type(told) is kind
    assert remedy in str(told)


def test_what_nobody_foresaw_keeps_libvirts_words() -> None:
    told = from_libvirt(libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "the moon is full"), "vm-100")
    assert type(told) is HorcruxError
    assert str(told) == "vm-100: libvirt says: the moon is full"


def test_a_broken_transport_is_unreachable_whatever_its_code() -> None:
    error = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "Cannot recv data", libvirt.VIR_FROM_RPC)
    assert type(from_libvirt(error, "vm-100")) is Unreachable


@pytest.mark.parametrize(
    ("code", "text", "field"),
    [
        ("CONFIG_UNSUPPORTED", "Emulator '/usr/bin/qemu-system-x86_64' does not support machine type 'x'", "machine"),
        ("INTERNAL_ERROR", "internal error: Unknown CPU model NoSuchCPU", "cpu_model"),
    ],
)
def test_what_only_libvirt_can_refuse_names_the_field(code: str, text: str, field: str) -> None:
    told = from_libvirt(libvirt_error(getattr(libvirt, f"VIR_ERR_{code}"), text), "vm-100")
    assert isinstance(told, InvalidFields)
    assert [p.field for p in told.problems] == [field]
