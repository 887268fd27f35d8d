"""The lab: guests with real ZFS, libvirt, QEMU, LVM, NFS, iSCSI, nftables, etcd and the product installed under systemd.

`sudo ./dev test --lab [PATH]` or, while working, `.venv/bin/pytest tests/lab/test_x.py`. Tests in this folder are marked `lab`.
Write plain `def` tests: all calls below block. Nothing is timed in here: guests are 10 to 30 times slower than a real host.

    LAB = Shape(guests=2, mem_mib=1536, cpus=1, disks=("4G", "1G"))     # of the module; Shape() without it, see harness/shape.py

    def test_a_pool_survives_a_power_cut(lab: Lab, guest: Guest) -> None:
        guest.run("zpool create tank /dev/vdb; zfs create tank/a; zpool sync")      # text printed; GuestError with all it said
        guest.kill(); guest.start()                                                 # power cut, power on with the same disks
        guest.wait_for("zpool list tank")
        with lab.partition(lab.n1, lab.n2): ...                                     # or lab.cut(a, b), lab.heal()

fixtures
  lab    (module)   Lab of the module's LAB: .guests, .n1 .n2 .n3, .cut(a, b), .heal(), .partition(a, b), .folder
  guest  (module)   lab.n1
  agent  (module)   InstalledAgent of n1, begun with admin's password; the one of another guest is InstalledAgent(lab.n2)
  make_lab          make_lab(Shape(...)) -> Lab of one test alone: a boot of its own (15 to 60 s), for what ruins a guest
  lab_image         (session) folder of the image

Guest (harness/guest.py)
  .run(cmd, timeout_s=300, stdin="") -> str      .attempt(cmd) -> Outcome(status, stdout, stderr)   .begin(cmd) -> Popen
  .wait_for(cmd, timeout_s=120) -> str           .push(src, dst) .pull(src, dst) .write(path, content) .read(path)
  .kill() .start() .reboot() .until_up()         .forward(port) -> our port         .console() .journal(unit="")
  .name "n1", .ip "10.77.0.1"; `ssh n2 CMD` works inside n1; /dev/vdb, /dev/vdc, … are the disks of the shape

InstalledAgent (harness/node.py)
  .start(**settings) as in horcrux.toml, e.g. fail_at="vm.create:3"; .stop() .kill() .is_active() .until_healthy() .journal()
  .enable(): it starts with the guest, as on a real host; after a power cut otherwise only .start() brings it back
  .get(path) .post(path, body) .patch .put .delete -> JSON, the task behind it awaited; status= what is expected
  .begin(method, path, body) -> task id; .ended(task_id) -> task
  .exchange(method, path, body) -> ApiAnswer(status, headers, text, .json), whatever the status
  guest.run("horcrux …") is the command line inside (HORCRUX_PASSWORD=… horcrux login admin first)

Our own tests inside a guest (harness/inside.py)
  run_tests_inside(guest, "tests/conformance/storage", "-k", "zfs") -> InsideReport(passed, failed, skipped, output)
  fails with pytest's output where one fails, none passes, or one is skipped (may_skip=True allows that). The tests find
  HORCRUX_INSIDE_LAB=1 in their environment, run as root, on the working tree as it is now.

When a test fails, journals and consoles of all guests are written to tests/.artifacts/lab/<test>/ and the failure names them.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.image import image_folder
from tests.lab.harness.lab import Lab, open_lab
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import REPOSITORY, Shape

ARTIFACTS = REPOSITORY / "tests/.artifacts/lab"
OPEN_LABS = pytest.StashKey[list[Lab]]()
MakeLab = Callable[[Shape], Lab]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for lab in item.session.stash.get(OPEN_LABS, []):
            folder = ARTIFACTS / re.sub(r"[^\w.-]+", "_", item.nodeid.removeprefix("tests/lab/"))
            for path in lab.collect(folder):
                end = "".join(path.read_text().splitlines(keepends=True)[-25:])
                report.sections.append((f"lab: {path} (its end)", end))
    return report


@pytest.fixture(scope="session")
def lab_image() -> Path:
    """The image of this checkout, built first where something has changed."""
    if os.geteuid() != 0:
        pytest.fail("the lab needs root, to build its image: sudo ./dev test --lab", pytrace=False)
    return image_folder()


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, lab_image: Path) -> Iterator[Lab]:
    """Guests for all tests of a module; its `LAB` is their shape."""
    shape = getattr(request.module, "LAB", Shape())
    with opened(request.session, shape, lab_image) as lab:
        yield lab


@pytest.fixture
def make_lab(request: pytest.FixtureRequest, lab_image: Path) -> Iterator[MakeLab]:
    """Labs of one test alone; they end with it."""
    with ExitStack() as stack:
        yield lambda shape: stack.enter_context(opened(request.session, shape, lab_image))


@contextmanager
def opened(session: pytest.Session, shape: Shape, image: Path) -> Iterator[Lab]:
    """A lab that failures are told of."""
    lab = open_lab(shape, image, owner=os.getpid())
    labs = session.stash.setdefault(OPEN_LABS, [])
    labs.append(lab)
    try:
        yield lab
    finally:
        labs.remove(lab)
        lab.close()


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Guest:
    return lab.n1


@pytest.fixture(scope="module")
def agent(guest: Guest) -> InstalledAgent:
    """The installed agent of n1, healthy."""
    agent = InstalledAgent(guest)
    agent.start()
    return agent
