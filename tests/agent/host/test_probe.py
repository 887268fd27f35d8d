"""What the probe says of hosts that are not this one, and of this one."""

import asyncio
import platform
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.host.emulators import probe_emulators
from agent.host.probe import HostProbe, ProbeOrder, order_of, probe_now
from agent.host.processor import (
    AccelWish,
    Processor,
    probe_acceleration,
    probe_kvm_device,
    probe_nesting,
    read_processor,
    why_not_kvm,
)
from agent.host.program import Answer, Run, run_program
from agent.host.services import probe_libvirt, probe_nftables, probe_port, probe_room, probe_zfs, read_memory
from horcrux.compute.domain import Accel
from horcrux.compute.vm import Architecture
from horcrux.config import Settings
from tests.support.clock import FakeClock

INTEL = Processor(model="some Intel", flags=frozenset({"fpu", "vmx"}), cores=4)
AMD = Processor(model="some AMD", flags=frozenset({"fpu", "svm"}), cores=4)
PLAIN = Processor(model="a guest's", flags=frozenset({"fpu"}), cores=2)


def answers(*, fails: Sequence[str] = ()) -> Run:
    """A runner under which every program answers, but those named fail."""

    def run(argv: Sequence[str]) -> Answer:
        if any(word in " ".join(argv) for word in fails):
            return Answer(ok=False, output="oops\nOperation not permitted\n")
        return Answer(ok=True, output="QEMU emulator version 9.2.1 (Debian)\nzfs-kmod\n")

    return run


@pytest.mark.parametrize("processor", [INTEL, AMD])
def test_a_processor_with_vmx_or_svm_and_a_kvm_that_answers_accelerates(processor: Processor) -> None:
    accel, finding = probe_acceleration(Architecture.X86_64, processor, "auto", lambda: "")
    assert (accel, finding.ok) == (Accel.KVM, True)


def test_kvm_is_not_used_when_the_processor_shows_neither_vmx_nor_svm_although_the_device_answers() -> None:
    accel, finding = probe_acceleration(Architecture.X86_64, PLAIN, "auto", lambda: "")
    assert accel is Accel.TCG
    assert "neither vmx nor svm" in finding.reason
    assert finding.remedy


def test_a_device_that_does_not_answer_is_the_reason_given() -> None:
    accel, finding = probe_acceleration(Architecture.X86_64, INTEL, "auto", lambda: "/dev/kvm does not exist")
    assert (accel, finding.reason) == (Accel.TCG, "/dev/kvm does not exist")


def test_an_arm_host_needs_only_the_device() -> None:
    assert probe_acceleration(Architecture.AARCH64, PLAIN, "auto", lambda: "")[0] is Accel.KVM


@pytest.mark.parametrize(("wish", "accel"), [("tcg", Accel.TCG), ("kvm", Accel.KVM)])
def test_the_setting_wins_over_what_was_found_and_is_named(wish: AccelWish, accel: Accel) -> None:
    found, finding = probe_acceleration(Architecture.X86_64, INTEL if wish == "tcg" else PLAIN, wish, lambda: "")
    assert (found, finding.ok) == (accel, False)
    assert f"HORCRUX_ACCEL={wish}" in finding.reason


def test_a_file_that_is_no_device_is_no_kvm(tmp_path: Path) -> None:
    assert "does not exist" in why_not_kvm(tmp_path / "kvm")
    (tmp_path / "kvm").write_text("")
    assert "does not answer as KVM" in why_not_kvm(tmp_path / "kvm")


def test_model_and_flags_are_read_as_x86_and_arm_write_them(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One\nflags\t\t: fpu svm\n\n")
    processor = read_processor(tmp_path)
    assert (processor.model, processor.flags) == ("Fast One", frozenset({"fpu", "svm"}))
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert read_processor(tmp_path).flags == {"fp", "asimd"}


def test_only_the_own_architecture_is_accelerated_and_firmware_is_found(tmp_path: Path) -> None:
    firmware = tmp_path / "usr/share/OVMF"
    firmware.mkdir(parents=True)
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
        (firmware / name).touch()
    machines, findings = probe_emulators(
        tmp_path,
        Architecture.X86_64,
        Accel.KVM,
        answers(),
        lambda name: None if "riscv" in name else f"/usr/bin/{name}",
    )
    assert machines[Architecture.X86_64].accel is Accel.KVM
    assert machines[Architecture.X86_64].uefi is not None
    assert machines[Architecture.AARCH64].accel is Accel.TCG
    assert machines[Architecture.AARCH64].uefi is None
    assert Architecture.RISCV64 not in machines
    by_name = {finding.name: finding for finding in findings}
    assert "9.2.1" in by_name["guests x86_64"].detail
    assert by_name["guests riscv64"].remedy == "apt install qemu-system-misc"
    assert not by_name["guests riscv64"].needed
    assert by_name["UEFI aarch64"].remedy == "apt install qemu-efi-aarch64"


def test_an_emulator_that_does_not_start_is_not_offered(tmp_path: Path) -> None:
    machines, findings = probe_emulators(
        tmp_path, Architecture.X86_64, Accel.TCG, answers(fails=["qemu"]), lambda name: f"/usr/bin/{name}"
    )
    assert machines == {}
    own = next(finding for finding in findings if finding.name == "guests x86_64")
    assert own.needed
    assert "Operation not permitted" in own.reason


def test_nesting_tells_which_module_has_it_switched_off(tmp_path: Path) -> None:
    setting = tmp_path / "sys/module/kvm_amd/parameters/nested"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    assert "kvm_amd" in probe_nesting(tmp_path).reason
    setting.write_text("1\n")
    assert probe_nesting(tmp_path).ok


def test_a_kvm_device_that_is_closed_to_qemu_is_told_with_its_remedy(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert probe_kvm_device(device, 107).ok
    device.touch()
    device.chmod(0o600)
    closed = probe_kvm_device(device, 107)
    assert not closed.ok
    assert "chgrp kvm" in closed.remedy
    device.chmod(0o660)
    assert not probe_kvm_device(device, device.stat().st_gid + 1).ok
    assert probe_kvm_device(device, device.stat().st_gid).ok
    device.chmod(0o666)
    assert probe_kvm_device(device, None).ok


def test_zfs_names_the_part_that_is_missing(tmp_path: Path) -> None:
    assert "module" in probe_zfs(tmp_path, answers()).reason
    (tmp_path / "sys/module/zfs").mkdir(parents=True)
    assert "Operation not permitted" in probe_zfs(tmp_path, answers(fails=["zfs"])).reason


def test_nftables_that_the_kernel_refuses_is_told_with_its_words() -> None:
    finding = probe_nftables(answers(fails=["nft"]))
    assert not finding.ok
    assert finding.remedy


def test_a_libvirt_that_is_not_there_is_needed_and_has_a_remedy() -> None:
    finding = probe_libvirt("qemu+unix:///system?socket=/nonexistent/libvirt-sock")
    assert (finding.ok, finding.needed) == (False, True)
    assert finding.remedy


def test_a_taken_port_is_told_and_a_free_one_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "taken" in probe_port("127.0.0.1", port).reason
    assert probe_port("127.0.0.1", port).ok
    with socket.create_server(("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_room_is_told_for_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    free_gib, finding = probe_room(tmp_path / "not" / "yet")
    assert free_gib > 0
    assert str(tmp_path / "not" / "yet") in finding.detail


def test_memory_is_read_in_mib(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:        2048000 kB\nMemFree: 1 kB\nMemAvailable:    1024000 kB\n")
    assert read_memory(tmp_path) == (2000, 1000)


def test_a_program_that_is_missing_or_fails_is_an_answer() -> None:
    assert run_program(["/nonexistent/program"]).last_line == "/nonexistent/program is not installed"
    failed = run_program(["sh", "-c", "echo first; echo last words >&2; exit 3"])
    assert (failed.ok, failed.last_line) == (False, "last words")
    assert run_program(["false"]).last_line == "it said nothing"


def test_every_finding_that_is_not_ok_has_a_reason_and_a_remedy_on_this_host(tmp_path: Path) -> None:
    report = probe_now(ProbeOrder(state_dir=tmp_path, libvirt_uri="test:///default"))
    names = [finding.name for finding in report.capabilities]
    assert len(names) == len(set(names))
    for finding in report.capabilities:
        if finding.ok:
            assert (finding.reason, finding.remedy) == ("", ""), finding
            assert finding.detail, finding
        else:
            assert finding.reason, finding
            assert finding.remedy, finding
    assert report.architecture == platform.machine()
    flags = Path("/proc/cpuinfo").read_text()
    if platform.machine() == "x86_64" and " vmx" not in flags and " svm" not in flags:
        assert Accel.KVM not in {machine.accel for machine in report.machines.values()}


async def test_a_report_is_told_again_while_it_is_fresh_and_never_blocks_the_loop(tmp_path: Path) -> None:
    clock = FakeClock()
    probe = HostProbe(ProbeOrder(state_dir=tmp_path, libvirt_uri="test:///default"), clock)
    first = await probe.report()
    assert await probe.report() is first
    clock.advance(6)
    assert await probe.report() is not first
    await asyncio.to_thread(probe.close)


def test_the_order_follows_the_settings_and_an_agent_does_not_ask_for_its_own_port() -> None:
    settings = Settings(state_dir="/srv/hx", accel="tcg", listen="127.0.0.1:9000", libvirt_uri="test:///default")
    asked = order_of(settings, is_agent=False)
    assert (asked.listen, asked.accel, asked.libvirt_uri) == (("127.0.0.1", 9000), "tcg", "test:///default")
    assert order_of(settings, is_agent=True).listen is None
