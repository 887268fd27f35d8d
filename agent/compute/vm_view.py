"""One VM as `GET /api/vms/{id}` shows it."""

from agent.compute.registry import Known, VmRegistry
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.compute.lifecycle import Verb, allowed
from horcrux.compute.order import pending_changes
from horcrux.compute.vm import ALIVE, Phase, RunState, sealed
from horcrux.compute.vm_bodies import AllowedAction, DiskView, NicView, PendingChange, VmView
from horcrux.ids import TaskId

_SCOPE_OF = {
    Verb.DELETE: Scope.VM_WRITE,
    Verb.UPDATE: Scope.VM_WRITE,
    Verb.CLONE: Scope.VM_WRITE,
    Verb.CONSOLE: Scope.VM_CONSOLE,
}


def vm_view(
    registry: VmRegistry,
    known: Known,
    node_name: str,
    principal: Principal,
    *,
    ending: TaskId | None = None,
    is_kept: bool = False,
) -> VmView:
    """Everything `principal` may know of the VM, and may do with it once the task `ending` is over. User-data is sealed for
    who may not change the VM, and in what is kept (`is_kept`), since others read that."""
    document, spec, seen = known.document.value, known.document.value.spec, known.seen
    state = registry.state_of(document.id)
    task = registry.operation_on(document.id)
    task = None if task == ending else task
    return VmView(
        id=document.id,
        name=spec.name,
        status=state,
        status_reason=seen.reason if seen else "",
        since=seen.since if seen else None,
        cpu_cores=spec.cpu_cores,
        memory_mb=spec.memory_mb,
        architecture=spec.architecture,
        firmware=spec.firmware,
        machine=spec.machine,
        cpu_model=spec.cpu_model,
        disks=tuple(
            DiskView(
                name=d.name,
                storage_pool=d.storage_pool,
                volume=d.volume,
                size_gb=d.size_gb,
                bus=d.bus,
                cache=d.cache,
                format=d.format,
                base=d.base,
            )
            for d in spec.disks
        ),
        nics=tuple(NicView(mac=n.mac, model=n.model, bridge=n.bridge, vnet=n.vnet) for n in spec.nics),
        cdrom=spec.cdrom,
        cloud_init=(spec if principal.may(Scope.VM_WRITE) and not is_kept else sealed(spec)).cloud_init,
        node=node_name,
        owner=document.owner,
        uuid=document.uuid,
        tags=document.tags,
        notes=document.notes,
        autostart=document.autostart,
        created_at=int(document.created_at),
        operation=task,
        pending=_pending(known, state),
        allowed_actions=_allowed_actions(known, state, task, principal),
        snapshots=len(document.snapshots),
        reverting=document.reverting,
        revision=known.document.revision,
    )


def _pending(known: Known, state: RunState) -> tuple[PendingChange, ...]:
    applied = known.seen.applied if known.seen else None
    if applied is None or state not in ALIVE:
        return ()
    changes = pending_changes(applied, known.document.value.spec)
    return tuple(PendingChange(field=f, running=r, wanted=w) for f, r, w in changes)


def _allowed_actions(
    known: Known, state: RunState, task: TaskId | None, principal: Principal
) -> dict[str, AllowedAction]:
    reasons = dict(allowed(state))
    if known.document.value.phase is not Phase.READY and task is None:
        reasons[Verb.DELETE] = ""  # left half made or half deleted by a task that was cut off
    actions = {}
    for verb, state_forbids in reasons.items():
        scope = _SCOPE_OF.get(verb, Scope.VM_POWER)
        reason = state_forbids
        if not principal.may(scope):
            reason = f"needs the right {scope}"
        elif task is not None and not reason and not _needs_no_turn(verb, state):
            reason = f"task {task} works on it"
        actions[verb.value] = AllowedAction(allowed=not reason, reason=reason)
    return actions


def _needs_no_turn(verb: Verb, state: RunState) -> bool:
    """Whether `verb` goes while a task works on the VM: looking at it, and pulling the plug of one that is shutting down."""
    return verb is Verb.CONSOLE or (verb is Verb.STOP and state is RunState.STOPPING)
