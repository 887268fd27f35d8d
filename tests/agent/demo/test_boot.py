"""The demo image is booted for real: it says its sentence, answers its shell and obeys the power button."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.demo.image import build_demo_image, default_cache
from tests.support.demo_image import SENTENCE, demo_image

pytestmark = pytest.mark.libvirt
_OVMF = Path("/usr/share/OVMF")
_BOOT_LIMIT_S = 120


@contextmanager
def guest(place: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A guest from the demo image; its serial line is the process's input and output, its monitor `place/qmp`."""
    argv = [
        "timeout",
        str(_BOOT_LIMIT_S),
        "qemu-system-x86_64",
        "-machine",
        "q35,accel=tcg",
        "-cpu",
        "max",
        "-m",
        "256",
    ]
    argv += ["-display", "none", "-drive", f"file={demo_image()},if=virtio,snapshot=on", "-serial", "stdio", *more]
    argv += ["-nic", "user,model=virtio-net-pci", "-qmp", f"unix:{place}/qmp,server=on,wait=off", "-monitor", "none"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: subprocess.Popen[bytes], words: str) -> None:
    """Returns when the guest has said `words`; fails when its line ends before."""
    assert process.stdout is not None
    said = b""
    while words.encode() not in said:
        byte = process.stdout.read(1)
        assert byte, f"the guest ended without saying {words!r}; it said:\n{said.decode(errors='replace')}"
        said += byte


def press_power_button(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(place / "qmp"))
        stream = monitor.makefile("rw")
        for command in ("qmp_capabilities", "system_powerdown"):
            stream.write(json.dumps({"execute": command}) + "\n")
            stream.flush()
            while "return" not in json.loads(stream.readline()):
                continue


def test_from_bios_it_says_its_sentence_answers_and_obeys_the_power_button(tmp_path: Path) -> None:
    with guest(tmp_path) as process:
        read_until(process, SENTENCE)
        read_until(process, "address 10.0.2.15")
        assert process.stdin is not None
        process.stdin.write(b"echo $((6 * 7))-is-the-answer\n")
        process.stdin.flush()
        read_until(process, "42-is-the-answer")
        press_power_button(tmp_path)
        read_until(process, "goodbye from horcrux")
        assert process.wait(30) == 0


def test_from_uefi_it_says_its_sentence(tmp_path: Path) -> None:
    variables = tmp_path / "vars.fd"
    shutil.copyfile(_OVMF / "OVMF_VARS_4M.fd", variables)
    code = f"if=pflash,format=raw,readonly=on,file={_OVMF}/OVMF_CODE_4M.fd"
    with guest(tmp_path, "-drive", code, "-drive", f"if=pflash,format=raw,file={variables}") as process:
        read_until(process, SENTENCE)


def test_a_second_build_takes_the_finished_image_and_copies_it_whole(tmp_path: Path) -> None:
    steps: list[str] = []
    kept = demo_image()
    target = tmp_path / "images" / "hello.qcow2"
    build_demo_image(target, default_cache(), steps.append)
    assert steps == ["asking apt for the packages"]
    assert target.read_bytes() == kept.read_bytes()
    assert list(target.parent.iterdir()) == [target]
