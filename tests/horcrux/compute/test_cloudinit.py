"""The seed, read back by other people's programs."""

import email
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from horcrux.compute.cloudinit import (
    MAX_USER_DATA_BYTES,
    check_cloud_init,
    host_label,
    meta_data,
    network_config,
    seed_iso,
    user_data,
)
from horcrux.compute.vm import CloudInit
from horcrux.errors import InvalidFields

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4lDYO2l3gWUkJzCQ3cKJrIgpJ9cF1VJSX3c3Q2sPzB ada@lovelace"
UUID = "6f1c2f9e-90a3-4c62-a1a9-0ff3f5b4ad23"
NETWORK_V2: dict[str, object] = {"version": 2, "ethernets": {"eth0": {"dhcp4": True}}}
NETWORK_V1: dict[str, object] = {"version": 1, "config": [{"type": "physical", "name": "eth0"}]}


def extract(image: bytes, folder: Path) -> dict[str, str]:
    """The files of the image, as xorriso reads them."""
    iso, out = folder / "seed.iso", folder / "out"
    iso.write_bytes(image)
    done = subprocess.run(
        ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", "/", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Volume id    : 'cidata'" in done.stderr
    return {file.name: file.read_text() for file in out.iterdir()}


def parts(message: str) -> list[tuple[str, bytes]]:
    """Type and content of each leaf of a MIME message."""
    found = []
    for part in email.message_from_string(message).walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            found.append((part.get_content_type(), content))
    return found


def problems(wanted: CloudInit) -> list[str]:
    with pytest.raises(InvalidFields) as caught:
        check_cloud_init(wanted, "cloud_init")
    return [p.field for p in caught.value.problems]


def test_the_image_holds_what_nocloud_looks_for(tmp_path: Path) -> None:
    wanted = CloudInit(user="ada", ssh_keys=(KEY,), network=NETWORK_V2)
    files = extract(seed_iso(wanted, vm_uuid=UUID, counter=3, hostname="Web_Server.lan"), tmp_path)
    assert sorted(files) == ["meta-data", "network-config", "user-data"]
    assert yaml.safe_load(files["meta-data"]) == {"instance-id": f"{UUID}-3", "local-hostname": "web-server.lan"}
    assert yaml.safe_load(files["network-config"]) == NETWORK_V2
    assert files["user-data"].startswith("#cloud-config\n")
    (user,) = yaml.safe_load(files["user-data"])["users"]
    assert user["name"] == "ada"
    assert user["ssh_authorized_keys"] == [KEY]
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert user["lock_passwd"] is True


def test_the_label_is_seen_by_blkid(tmp_path: Path) -> None:
    iso = tmp_path / "seed.iso"
    iso.write_bytes(seed_iso(CloudInit(), vm_uuid=UUID, counter=0, hostname="a"))
    done = subprocess.run(
        ["/sbin/blkid", "-p", "-o", "value", "-s", "LABEL", str(iso)], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.strip() == "cidata"


def test_without_a_network_the_guest_is_left_to_dhcp(tmp_path: Path) -> None:
    files = extract(seed_iso(CloudInit(), vm_uuid=UUID, counter=0, hostname="a"), tmp_path)
    assert sorted(files) == ["meta-data", "user-data"]
    assert yaml.safe_load(files["user-data"]) == {}


def test_raw_user_data_goes_in_byte_for_byte(tmp_path: Path) -> None:
    raw = "#!/bin/sh\necho 'größe' > /etc/motd\n\n\n"
    files = extract(seed_iso(CloudInit(user_data=raw), vm_uuid=UUID, counter=0, hostname="a"), tmp_path)
    assert files["user-data"] == raw


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        ("#!/bin/sh\necho hi\n", "text/x-shellscript"),
        ("#cloud-config\npackages: [vim]\n", "text/cloud-config"),
        ("#!/bin/sh\nFrom here on\n.\n--==\n", "text/x-shellscript"),
        ("#include\nhttps://example.org/x\n", "text/x-include-url"),
        ("## template: jinja\n#cloud-config\n", "text/jinja2"),
        ("#cloud-config\nruncmd: ['echo größe']\n", "text/cloud-config"),
    ],
)
def test_both_become_one_message_that_keeps_each(raw: str, type_: str) -> None:
    (our_type, ours), (their_type, theirs) = parts(user_data(CloudInit(user="ada", ssh_keys=(KEY,), user_data=raw)))
    assert our_type == "text/cloud-config"
    assert yaml.safe_load(ours)["users"][0]["name"] == "ada"
    assert (their_type, theirs.decode()) == (type_, raw)


def test_a_raw_multipart_message_stays_one() -> None:
    inner = user_data(CloudInit(user="grace", user_data="#!/bin/sh\n"))
    message = email.message_from_string(user_data(CloudInit(user="ada", user_data=inner)))
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        "multipart/mixed",
        "text/cloud-config",
        "multipart/mixed",
        "text/cloud-config",
        "text/x-shellscript",
    ]


def test_keys_without_a_user_go_to_the_images_own_user() -> None:
    assert yaml.safe_load(user_data(CloudInit(ssh_keys=(KEY,)))) == {"ssh_authorized_keys": [KEY]}


@pytest.mark.parametrize("network", [NETWORK_V1, NETWORK_V2, {"network": NETWORK_V2}])
def test_both_versions_of_a_network_config_are_taken(network: dict[str, object]) -> None:
    checked = check_cloud_init(CloudInit(network=network), "cloud_init")
    assert checked.network == network
    assert yaml.safe_load(network_config(network)) == network.get("network", network)


@pytest.mark.parametrize(
    ("network", "field"),
    [
        ({}, "version"),
        ({"version": 3}, "version"),
        ({"version": "2"}, "version"),
        ({"version": True}, "version"),
        ({"version": 1}, "config"),
        ({"version": 1, "config": {}}, "config"),
        ({"version": 2}, "ethernets"),
        ({"version": 2, "ethernets": []}, "ethernets"),
    ],
)
def test_a_wrong_network_config_is_named(network: dict[str, object], field: str) -> None:
    assert problems(CloudInit(network=network)) == [f"cloud_init.network.{field}"]


def test_a_network_config_that_is_nested_too_deeply_is_named() -> None:
    inner: dict[str, object] = {}
    for _ in range(400):
        inner = {"a": [inner]}
    assert problems(CloudInit(network={"version": 2, "ethernets": {"e": inner}})) == ["cloud_init.network"]


@pytest.mark.parametrize("user", ["", "Ada", "ada lovelace", "-ada", "1ada", "ada\n", "a" * 33, "ada:x", "../ada"])
def test_a_wrong_user_is_named(user: str) -> None:
    assert problems(CloudInit(user=user)) == ["cloud_init.user"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-dss AAAAB3NzaC1kc3M=",
        KEY.replace("ssh-ed25519 ", "ssh-rsa "),
        KEY + "\nssh-ed25519 AAAA",
        'command="id" ' + KEY,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n",
    ],
)
def test_a_wrong_key_is_named_by_its_place_and_not_shown(key: str) -> None:
    wanted = CloudInit(ssh_keys=(KEY, key))
    assert problems(wanted) == ["cloud_init.ssh_keys[1]"]
    with pytest.raises(InvalidFields) as caught:
        check_cloud_init(wanted, "cloud_init")
    assert "c2VjcmV0" not in str(caught.value)


def test_every_wrong_field_is_told_at_once() -> None:
    wanted = CloudInit(user="A", ssh_keys=("x",), network={}, user_data="x" * (MAX_USER_DATA_BYTES + 1))
    assert problems(wanted) == [
        "cloud_init.user",
        "cloud_init.ssh_keys[0]",
        "cloud_init.network.version",
        "cloud_init.user_data",
    ]


def test_space_around_a_key_is_cut_off() -> None:
    assert check_cloud_init(CloudInit(ssh_keys=(f"  {KEY}\n",)), "c").ssh_keys == (KEY,)


def test_another_seed_is_another_instance() -> None:
    assert meta_data(UUID, 1, "a") != meta_data(UUID, 2, "a")


@given(st.text(max_size=200))
def test_any_name_gives_a_host_name(name: str) -> None:
    label = host_label(name)
    assert label
    for part in label.split("."):
        assert part.isascii()
        assert 0 < len(part) <= 63
        assert part == part.strip("-")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=300))
def test_any_text_survives_beside_our_own_part(text: str) -> None:
    raw = "#cloud-config\n" + text
    assert parts(user_data(CloudInit(user="ada", user_data=raw)))[1][1].decode() == raw
