"""Whether it is known which volumes a VM's disks are. Nothing is built on a VM where that is not so."""

from horcrux.compute.vm import VmDocument
from horcrux.errors import Conflict


def check_settled(document: VmDocument) -> None:
    """Conflict while it is not known which of two volumes a disk is: an agent died in the middle of a switch."""
    for name, volume in document.moving.items():
        words = f"{name} of VM {document.id} was being moved to {volume}; which volume is right is found out "
        raise Conflict(words + "as soon as the hypervisor and both pools answer", disk=name, volume=volume)
