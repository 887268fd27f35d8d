import itertools

import pytest

from horcrux.compute.lifecycle import Verb, admit, allowed
from horcrux.compute.vm import RunState
from horcrux.errors import Conflict

EVERY = list(itertools.product(RunState, Verb))


@pytest.mark.parametrize(("state", "verb"), EVERY)
def test_a_verb_is_admitted_or_refused_in_a_sentence_that_names_vm_verb_and_reason(state: RunState, verb: Verb) -> None:
    reason = allowed(state)[verb]
    if not reason or (state, verb) == (RunState.RUNNING, Verb.START):
        assert admit(state, verb) in RunState
        return
    with pytest.raises(Conflict) as refusal:
        admit(state, verb, "vm-100")
    assert str(refusal.value) == f"cannot {verb} vm-100: {reason}"


def test_starting_what_runs_is_admitted_but_not_offered() -> None:
    assert admit(RunState.RUNNING, Verb.START) is RunState.RUNNING
    assert allowed(RunState.RUNNING)[Verb.START] == "it is running"


@pytest.mark.parametrize("state", [RunState.CREATING, RunState.DELETING, RunState.UNKNOWN])
def test_a_vm_that_is_not_ours_to_use_admits_nothing(state: RunState) -> None:
    assert all(allowed(state).values())


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.PAUSED, RunState.STOPPING])
def test_a_vm_that_runs_can_be_stopped_but_not_deleted(state: RunState) -> None:
    assert admit(state, Verb.STOP) is RunState.STOPPED
    with pytest.raises(Conflict, match="stop it"):
        admit(state, Verb.DELETE)


@pytest.mark.parametrize("state", [RunState.STOPPED, RunState.CRASHED])
def test_a_vm_that_does_not_run_can_be_started_and_deleted_but_not_stopped(state: RunState) -> None:
    assert admit(state, Verb.START) is RunState.RUNNING
    assert admit(state, Verb.DELETE) is RunState.DELETING
    with pytest.raises(Conflict, match="cannot stop"):
        admit(state, Verb.STOP)


def test_every_state_that_a_verb_leads_to_has_a_way_back_to_stopped() -> None:
    """But deleting, which ends outside the table."""
    for state, verb in EVERY:
        try:
            after = admit(state, verb)
        except Conflict:
            continue
        while after not in {RunState.STOPPED, RunState.CRASHED, RunState.DELETING}:
            after = admit(after, Verb.STOP)
