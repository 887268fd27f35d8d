"""The cloud-init seed: what a guest is told on its first boot, as an ISO image with the label `cidata`.

Format: cloudinit.readthedocs.io, data source NoCloud. Three files: `meta-data` (who the machine is), `user-data` (what is to be
set up), `network-config` (only when one was given; else the guest asks by DHCP). A changed seed has another instance id, so that
cloud-init acts on it. `seed_iso` computes for some milliseconds: call it on a thread.
"""

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import Parser

import pycdlib
import yaml

from horcrux.compute.vm import CloudInit, is_sealed
from horcrux.errors import FieldProblem, InvalidFields

MAX_USER_DATA_BYTES = 256 * 1024
MAX_SSH_KEYS = 64
MAX_NETWORK_DEPTH = 20
"""cloud-init's own go to about 8; writing YAML recurses, and Python's stack is not endless."""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_V2_DEVICES = ("ethernets", "bonds", "bridges", "vlans", "wifis")
_MERGE = "list(append)+dict(no_replace,recurse_list)+str()"
"""How the raw part is laid over ours: its lists (users, packages) are added to ours instead of losing to them."""
_SUBTYPES = (
    ("#cloud-config-archive", "cloud-config-archive"),
    ("#cloud-config", "cloud-config"),
    ("#cloud-boothook", "cloud-boothook"),
    ("#include-once", "x-include-once-url"),
    ("#include", "x-include-url"),
    ("#part-handler", "part-handler"),
    ("#!", "x-shellscript"),
    ("## template: jinja", "jinja2"),
)


def check_cloud_init(wanted: CloudInit, field: str) -> CloudInit:
    """`wanted` as it will be used (white space around keys cut off); InvalidFields names each wrong field below `field`."""
    problems: list[FieldProblem] = []
    if wanted.user is not None and not _USER.match(wanted.user):
        words = "1 to 32 lower-case letters, digits, '_' or '-', beginning with a letter or '_'"
        problems.append(FieldProblem(f"{field}.user", words))
    if len(wanted.ssh_keys) > MAX_SSH_KEYS:
        problems.append(FieldProblem(f"{field}.ssh_keys", f"at most {MAX_SSH_KEYS} keys"))
    keys = tuple(key.strip() for key in wanted.ssh_keys)
    for index, key in enumerate(keys):
        if wrong := _key_problem(key):
            problems.append(FieldProblem(f"{field}.ssh_keys[{index}]", wrong))
    if wanted.network is not None:
        problems += _network_problems(wanted.network, f"{field}.network")
    if wanted.user_data is not None and (wrong := _user_data_problem(wanted.user_data)):
        problems.append(FieldProblem(f"{field}.user_data", wrong))
    if problems:
        raise InvalidFields(problems)
    return CloudInit(user=wanted.user, ssh_keys=keys, network=wanted.network, user_data=wanted.user_data)


def meta_data(vm_uuid: str, counter: int, hostname: str) -> str:
    """`counter` counts the changes of the seed; `hostname` is made fit for DNS."""
    return _yaml({"instance-id": f"{vm_uuid}-{counter}", "local-hostname": host_label(hostname)})


def host_label(name: str) -> str:
    """`name` as a host name (RFC 1123): what does not fit becomes `-`."""
    labels = (re.sub(r"[^a-z0-9-]+", "-", label).strip("-")[:63] for label in name.lower().split("."))
    return ".".join(label for label in labels if label) or "vm"


def user_data(wanted: CloudInit) -> str:
    """The raw user-data as it is, our own cloud-config from user and keys, or both as a MIME multipart message."""
    config = _cloud_config(wanted.user, wanted.ssh_keys)
    if wanted.user_data is None:
        return "#cloud-config\n" + _yaml(config)
    if not config:
        return wanted.user_data
    return _multipart("#cloud-config\n" + _yaml(config), wanted.user_data)


def network_config(network: Mapping[str, object]) -> str:
    return _yaml(_unwrapped(network))


def seed_iso(wanted: CloudInit, *, vm_uuid: str, counter: int, hostname: str) -> bytes:
    """The whole image: ISO 9660 with Rock Ridge and Joliet names."""
    files = {"meta-data": meta_data(vm_uuid, counter, hostname), "user-data": user_data(wanted)}
    if wanted.network is not None:
        files["network-config"] = network_config(wanted.network)
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in files.items():
        content = text.encode()
        short = name.replace("-", "").upper()[:8]
        iso.add_fp(io.BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()


def _cloud_config(user: str | None, ssh_keys: Sequence[str]) -> dict[str, object]:
    if user is None:
        return {"ssh_authorized_keys": list(ssh_keys)} if ssh_keys else {}
    account: dict[str, object] = {
        "name": user,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "lock_passwd": True,
    }
    if ssh_keys:
        account["ssh_authorized_keys"] = list(ssh_keys)
    return {"users": [account]}


def _multipart(ours: str, theirs: str) -> str:
    """The boundary is made from the content: the same seed is the same bytes."""
    boundary = "==" + hashlib.sha256(f"{ours}\0{theirs}".encode()).hexdigest()[:40]
    message = MIMEMultipart("mixed", boundary)
    message.attach(_part(ours))
    part = _part(theirs)
    part["Merge-Type"] = _MERGE
    message.attach(part)
    return message.as_string()


def _part(text: str) -> Message:
    head = text.lstrip()
    if head.lower().startswith(("content-type: multipart/", "mime-version:")):
        return Parser().parsestr(head)
    subtype = next((subtype for mark, subtype in _SUBTYPES if head.startswith(mark)), "plain")
    charset = "us-ascii" if text.isascii() else "utf-8"
    return MIMEText(text, subtype, charset)


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000)


def _key_problem(key: str) -> str | None:
    """What is wrong with an OpenSSH public key (RFC 4253 section 6.6). Never shows the key: it may be a private one."""
    if "PRIVATE KEY" in key:
        return "this is a private key; give the public one (the file that ends in .pub)"
    parts = key.split(None, 2)
    if len(parts) < 2 or not key.isprintable() or len(key) > 16_384:
        return "an OpenSSH public key on one line: type, key, comment"
    if parts[0] not in _KEY_TYPES:
        return f"a key that begins with one of {', '.join(_KEY_TYPES)}"
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except binascii.Error:
        return "the key is not base64"
    name = parts[0].encode()
    if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name or len(blob) <= 8 + len(name):
        return f"the key is cut off, or not of type {parts[0]}"
    return None


def _user_data_problem(text: str) -> str | None:
    if not text.isascii() and "\ufffd" in text:
        return "this is not text in UTF-8"
    if is_sealed(text):
        return "this is the digest that is shown in place of user-data; leave cloud_init out to keep what there is"
    if "\0" in text:
        return "user-data is text; compress or encode binary parts in MIME"
    if len(text.encode("utf-8", "surrogatepass")) > MAX_USER_DATA_BYTES:
        return f"at most {MAX_USER_DATA_BYTES} bytes"
    return None


def _unwrapped(network: Mapping[str, object]) -> dict[str, object]:
    """The config itself: it may come below a key `network`, as in cloud-init's own files."""
    inner = network.get("network")
    return dict(inner) if isinstance(inner, dict) and len(network) == 1 else dict(network)


def _network_problems(network: Mapping[str, object], field: str) -> list[FieldProblem]:
    config = _unwrapped(network)
    if _is_deeper(config, MAX_NETWORK_DEPTH):
        return [FieldProblem(field, f"nested at most {MAX_NETWORK_DEPTH} deep")]
    version = config.get("version")
    if version not in (1, 2) or isinstance(version, bool):
        return [FieldProblem(f"{field}.version", "1 or 2 (cloud-init network config)")]
    if version == 1 and not (isinstance(config.get("config"), list) and config["config"]):
        return [FieldProblem(f"{field}.config", "a list of devices (cloud-init network config version 1)")]
    if version == 2:
        for kind in _V2_DEVICES:
            if kind in config and not isinstance(config[kind], dict):
                return [FieldProblem(f"{field}.{kind}", "an object with a member for each device")]
        if not any(config.get(kind) for kind in _V2_DEVICES):
            return [FieldProblem(f"{field}.ethernets", f"at least one of {', '.join(_V2_DEVICES)}")]
    return []


def _is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` deep in `value`."""
    layer = [value]
    for _ in range(depth + 1):
        inner: list[object] = []
        for one in layer:
            if isinstance(one, Mapping):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return False
        layer = inner
    return True
