import { List, ListItem } from '@patternfly/react-core';
import { Suspense, lazy } from 'react';

import type { Verb, VmListItem } from '../api/types';
import { m } from '../messages';
import Confirm from '../ui/Confirm';
import { useDelete, usePower } from './actions';

const CloneVm = lazy(() => import('../templates/CloneVm'));
const MakeTemplate = lazy(() => import('../templates/MakeTemplate'));

export interface Asked {
  verb: Verb | 'template';
  vm: VmListItem;
}

interface AskProps {
  asked: Asked;
  volumes?: string[];
  close: () => void;
  deleted?: () => void;
}

/** The question before a verb that loses data, or needs to know more. */
export default function Ask({ asked: { verb, vm }, volumes, close, deleted }: AskProps) {
  const power = usePower();
  const remove = useDelete();
  if (verb === 'delete') {
    const run = () => remove(vm).then(() => deleted?.());
    return (
      <Confirm title={m.vm.deleteTitle(vm.name)} action={m.vm.verb.delete} isDanger typed={vm.id} run={run} close={close}>
        <DeleteWords vm={vm} volumes={volumes ?? []} />
      </Confirm>
    );
  }
  if (verb === 'template') {
    return (
      <Suspense>
        <MakeTemplate vm={vm} close={close} turned={deleted} />
      </Suspense>
    );
  }
  if (verb === 'clone') {
    return (
      <Suspense>
        <CloneVm vm={vm} close={close} />
      </Suspense>
    );
  }
  const isStop = verb === 'stop';
  return (
    <Confirm
      title={isStop ? m.vm.stopTitle(vm.name) : m.vm.resetTitle(vm.name)}
      action={m.vm.verb[verb]}
      isDanger
      run={() => power(vm, isStop ? 'stop' : 'reset')}
      close={close}
    >
      <p>{isStop ? m.vm.stopBody : m.vm.resetBody}</p>
    </Confirm>
  );
}

function DeleteWords({ vm, volumes }: { vm: VmListItem; volumes: string[] }) {
  return (
    <>
      <p>{m.vm.deleteBody}</p>
      {vm.status !== 'stopped' && vm.status !== 'crashed' && <p>{m.vm.deleteRunning}</p>}
      {volumes.length > 0 && (
        <>
          <p>{m.vm.disksGo}</p>
          <List>
            {volumes.map((volume) => (
              <ListItem key={volume} className="horcrux-mono">
                {volume}
              </ListItem>
            ))}
          </List>
        </>
      )}
      <br />
    </>
  );
}
