"""One guest's QEMU: its command line, its power, its monitor. Used by the keeper alone, in the run's folder."""

import json
import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path

from tests.lab.harness.shape import Run

ACCEL = os.environ.get("HORCRUX_LAB_ACCEL", "tcg,thread=multi,tb-size=256")
"""TCG unless told otherwise: a /dev/kvm may be there and refuse our guest, or belong to somebody else's."""
_MONITOR_PATIENCE_S = 60.0


class EmulatorError(Exception):
    """QEMU did not start or does not answer; the text holds the end of its log."""


class Emulator:
    """Guest `number`; files and sockets lie in n<number>/."""

    def __init__(self, run: Run, number: int) -> None:
        self._run = run
        self._number = number
        self._folder = Path(f"n{number}")
        self._process: subprocess.Popen[bytes] | None = None
        self.ssh_port = 0
        """On loopback; chosen at the first start and kept for later ones."""

    @property
    def pid(self) -> int:
        """0 while it is off."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Power on; returns when the monitor answers and the cards exist."""
        for stale in (*self._folder.glob("nic*"), self._folder / "qmp"):
            stale.unlink(missing_ok=True)
        with (self._folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                # The kernel ends the guest with its keeper, whatever happens to that.
                ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *self._words()],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        usernet = self._monitor("info usernet")
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", usernet)
        if found is None:
            raise EmulatorError(f"n{self._number} has no ssh port: {usernet}")
        self.ssh_port = int(found.group(1))

    def power_off(self) -> None:
        """A power cut: what the guest had sent to its disks stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _words(self) -> list[str]:
        shape, image, k = self._run.shape, self._run.image, self._number
        cpu = "max" if shape.kvm else "max,svm=off"
        words = ["-name", f"lab-n{k}", "-nodefaults", "-display", "none", "-accel", ACCEL, "-cpu", cpu]
        words += ["-machine", "q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off", "-uuid", self._uuid()]
        words += ["-smp", str(shape.cpus), "-m", str(shape.mem_mib), "-append", self._kernel_words()]
        words += ["-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd"]
        for disk in ("root", *(f"disk{n}" for n in range(1, len(shape.disks) + 1))):
            words += ["-drive", f"id={disk},file={disk}.qcow2,if=none,format=qcow2,cache=writeback,discard=unmap"]
            words += ["-device", f"virtio-blk-pci,drive={disk},serial={disk}"]
        restrict = "off" if shape.online else "on"
        forward = f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"
        words += ["-netdev", f"user,id=ctl,ipv6=off,restrict={restrict},{forward}"]
        words += ["-device", f"virtio-net-pci,netdev=ctl,mac=52:54:00:00:{k:02x}:fe,romfile="]
        for s in range(shape.segments):
            ends = f"local.type=unix,local.path=nic{s},remote.type=unix,remote.path=sw{s}"
            words += ["-netdev", f"dgram,id=seg{s},{ends}"]
            words += ["-device", f"virtio-net-pci,netdev=seg{s},mac=52:54:00:77:{s:02x}:{k:02x},romfile="]
        words += ["-device", "virtio-rng-pci", "-chardev", "file,id=console,path=console.log,append=on"]
        words += ["-serial", "chardev:console", "-qmp", "unix:qmp,server=on,wait=off"]
        if shape.share:
            words += [
                "-virtfs",
                f"local,path={shape.share},mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            ]
        return words + shlex.split(shape.qemu)

    def _uuid(self) -> str:
        run_id = self._run.run_id
        return f"{run_id[:8]}-{run_id[8:12]}-4000-8000-{self._number:012x}"

    def _kernel_words(self) -> str:
        shape, k = self._run.shape, self._number
        addresses = ",".join(f"10.77.{s}.{k}/24" for s in range(shape.segments))
        return (
            "root=/dev/vda rw console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off nopti apparmor=0 audit=0 "
            "tsc=reliable no_timer_check nowatchdog random.trust_cpu=on i8042.noaux i8042.nokbd cryptomgr.notests "
            f"systemd.hostname=n{k} systemd.machine_id={self._uuid().replace('-', '')} systemd.show_status=no "
            f"spl.spl_hostid=0x0a4d{self._run.run_id[:2]}{k:02x} lab.ip={addresses} {shape.append}"
        )

    def _monitor(self, line: str) -> str:
        """What QEMU's monitor says to `line`."""
        with self._monitor_socket() as sock, sock.makefile("rwb") as stream:
            try:
                stream.readline()
                for command in (
                    {"execute": "qmp_capabilities"},
                    {"execute": "human-monitor-command", "arguments": {"command-line": line}},
                ):
                    stream.write(json.dumps(command).encode() + b"\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "return" not in answer:
                        if "error" in answer:
                            raise EmulatorError(f"n{self._number}: {line}: {answer['error']}")
                        answer = json.loads(stream.readline())
                return str(answer["return"])
            except (OSError, ValueError) as err:
                raise EmulatorError(f"n{self._number}'s emulator ended: {self._log_end()}") from err

    def _monitor_socket(self) -> socket.socket:
        deadline = time.monotonic() + _MONITOR_PATIENCE_S
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(_MONITOR_PATIENCE_S)
            try:
                sock.connect(f"n{self._number}/qmp")
                return sock
            except OSError as err:
                sock.close()
                if time.monotonic() > deadline or not self.pid:
                    raise EmulatorError(f"n{self._number} did not start: {self._log_end()}") from err
                time.sleep(0.02)

    def _log_end(self) -> str:
        return (self._folder / "qemu.log").read_text(errors="replace")[-600:]
