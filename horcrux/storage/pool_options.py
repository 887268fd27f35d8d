"""What a new pool stands on, checked by its type: the target, and the options that the type knows."""

import posixpath
import re
from collections.abc import Mapping

from horcrux.errors import invalid_field
from horcrux.storage.pool import PoolType, check_pool_target
from horcrux.storage.zfs import check_zfs_pool

NFS_VERSIONS = ("3", "4", "4.0", "4.1", "4.2")

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_VOLUME_GROUP = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}\Z")
_IQN = re.compile(r"(?:iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9.-]+(?::[!-~]+)?|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{16,32})\Z")
_CEPH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}\Z")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,126}\Z")


def check_pool(storage_type: PoolType, target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Target and options as they are kept; Invalid names the field (`target`, `options.<key>`)."""
    match storage_type:
        case PoolType.DIR:
            check_keys(options, ())
            return check_pool_target(target, "target"), {}
        case PoolType.NFS:
            return _check_nfs(target, options)
        case PoolType.LVM:
            return _check_lvm(target, options)
        case PoolType.ISCSI:
            return _check_iscsi(target, options)
        case PoolType.RBD:
            return _check_rbd(target, options)
        case PoolType.ZFS:
            return check_zfs_pool(target, options)


def check_keys(options: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Invalid for an option that the type does not know."""
    for key in options:
        if key not in known:
            there = ", ".join(known) or "none"
            raise invalid_field(f"options.{key[:40]}", f"not an option of this type of pool; there are: {there}")


def check_host(value: str, field: str) -> str:
    """`value`, when it is a host's name or address, with or without a port; IPv6 stands in brackets."""
    host, port = value, "1"
    if not value.endswith("]") and ":" in value:
        host, _, port = value.rpartition(":")
    if not _HOST.match(host) or not _PORT.match(port) or not 0 < int(port) < 65_536:
        raise invalid_field(field, "<host> or <host>:<port>; an IPv6 address stands in brackets")
    return value


def split_export(target: str) -> tuple[str, str]:
    """Host (IPv6 in brackets) and folder of an NFS target that has been checked."""
    host, _, folder = target.rpartition(":/")
    return host, "/" + folder


def _check_nfs(target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    check_keys(options, ("version",))
    host, folder = split_export(target) if ":/" in target else ("", "")
    if not _HOST.match(host) or not folder.isprintable() or len(folder) > 512 or ".." in folder.split("/"):
        raise invalid_field("target", "<host>:<absolute path> of an NFS export, such as nas.example:/export/vms")
    if options.get("version", "4.2") not in NFS_VERSIONS:
        raise invalid_field("options.version", f"one of {', '.join(NFS_VERSIONS)}")
    return f"{host}:/{posixpath.normpath(folder).lstrip('/')}", dict(options)


def _check_lvm(target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    check_keys(options, ("thin_pool",))
    for field, value in (("target", target), ("options.thin_pool", options.get("thin_pool", "ok"))):
        if not _VOLUME_GROUP.match(value) or value in {".", ".."}:
            what = "a volume group" if field == "target" else "a thin pool in the volume group"
            raise invalid_field(field, f"the name of {what}: 1 to 127 letters, digits, '+', '_', '.' or '-'")
    return target, dict(options)


def _check_iscsi(target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    check_keys(options, ("portal", "initiator", "user", "key_file"))
    if len(target) > 223 or not _IQN.match(target):
        raise invalid_field("target", "an iSCSI name of the target, such as iqn.2024-01.com.example:vms")
    if "portal" not in options:
        raise invalid_field("options.portal", "needed: <host> or <host>:<port> of the target")
    check_host(options["portal"], "options.portal")
    initiator = options.get("initiator")
    if initiator is not None and (len(initiator) > 223 or not _IQN.match(initiator)):
        raise invalid_field("options.initiator", "an iSCSI name, such as iqn.2024-01.com.example:node-1")
    _check_account(options)
    return target, dict(options)


def _check_rbd(target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    check_keys(options, ("monitors", "user", "key_file"))
    if not _CEPH_NAME.match(target):
        raise invalid_field("target", "the name of a Ceph pool: letters, digits, '_', '.' and '-'")
    if "monitors" not in options:
        raise invalid_field("options.monitors", "needed: <host> or <host>:<port> of the monitors, separated by commas")
    hosts = [check_host(host.strip(), "options.monitors") for host in options["monitors"].split(",")]
    _check_account(options)
    return target, {**options, "monitors": ",".join(hosts)}


def _check_account(options: Mapping[str, str]) -> None:
    """Both or none; what the file holds never comes here."""
    for key, other in (("user", "key_file"), ("key_file", "user")):
        if key in options and other not in options:
            raise invalid_field(f"options.{other}", f"needed with {key}")
    if "user" not in options:
        return
    if not _USER.match(options["user"]):
        raise invalid_field("options.user", "letters, digits, '_', '.', '@' and '-'")
    file = options["key_file"]
    if not file.startswith("/") or len(file) > 512 or not file.isprintable() or ".." in file.split("/") or ":" in file:
        raise invalid_field("options.key_file", "the absolute path of a file on the node, without '..' and ':'")
