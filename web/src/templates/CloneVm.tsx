import { vmPath } from '../api/queries';
import type { VmListItem } from '../api/types';
import { m } from '../messages';
import { CloneForm } from './CloneForm';

/** A copy of a stopped machine. */
export default function CloneVm({ vm, close }: { vm: VmListItem; close: () => void }) {
  return (
    <CloneForm
      id="clone-vm"
      title={m.template.cloneVmTitle(vm.name)}
      help={m.template.cloneVmHelp}
      source={vm.id}
      path={vmPath(vm.id)}
      isStarted={false}
      ownPools={m.template.ownPools}
      close={close}
    />
  );
}
