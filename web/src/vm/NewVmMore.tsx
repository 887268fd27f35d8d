import { Card, CardBody, Checkbox, ExpandableSection, FormSelect, FormSelectOption, TextArea, TextInput } from '@patternfly/react-core';
import { type ReactNode, useState } from 'react';

import { problemOf } from '../api/errors';
import { useHost } from '../api/queries';
import type { Architecture } from '../api/types';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import type { OrderFieldsProps } from './NewVmBasics';

/** A part of the form that most leave alone. It opens by itself when the server objects to something in it. */
function Folded({ title, hasProblem, children }: { title: string; hasProblem: boolean; children: ReactNode }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Card isCompact>
      <CardBody>
        <ExpandableSection toggleText={title} isExpanded={isOpen || hasProblem} onToggle={(_event, open) => setIsOpen(open)}>
          <div className="horcrux-stack">{children}</div>
        </ExpandableSection>
      </CardBody>
    </Card>
  );
}

export function GuestFields({ order, set, error }: OrderFieldsProps) {
  return (
    <Folded title={m.vm.new.guest} hasProblem={problemOf(error, 'cloud_init') !== null}>
      <p className="horcrux-quiet">{m.vm.new.guestIntro}</p>
      <Field id="vm-user" name="cloud_init.user" label={m.vm.new.user} error={error}>
        <TextInput
          id="vm-user"
          autoComplete="off"
          autoCapitalize="none"
          value={order.user}
          validated={stateOf(error, 'cloud_init.user')}
          onChange={(_event, user) => set({ user })}
        />
      </Field>
      <Field id="vm-keys" name="cloud_init.ssh_keys" label={m.vm.new.keys} error={error} help={m.vm.new.keysHelp}>
        <TextArea
          id="vm-keys"
          rows={3}
          spellCheck={false}
          className="horcrux-mono"
          value={order.sshKeys}
          validated={stateOf(error, 'cloud_init.ssh_keys')}
          onChange={(_event, sshKeys) => set({ sshKeys })}
        />
      </Field>
      <Field id="vm-data" name="cloud_init.user_data" label={m.vm.new.userData} error={error} help={m.vm.new.userDataHelp}>
        <TextArea
          id="vm-data"
          rows={6}
          spellCheck={false}
          className="horcrux-mono"
          value={order.userData}
          validated={stateOf(error, 'cloud_init.user_data')}
          onChange={(_event, userData) => set({ userData })}
        />
      </Field>
    </Folded>
  );
}

const FOLDED = ['id', 'firmware', 'architecture', 'nics', 'tags'];

export function MoreFields({ order, set, error }: OrderFieldsProps) {
  return (
    <Folded title={m.vm.new.more} hasProblem={FOLDED.some((name) => problemOf(error, name) !== null)}>
      <div className="horcrux-pair">
        <Field id="vm-firmware" name="firmware" label={m.vm.new.firmware} error={error}>
          <FormSelect
            id="vm-firmware"
            value={order.firmware}
            onChange={(_event, value) => set({ firmware: value === 'uefi' ? 'uefi' : 'bios' })}
          >
            <FormSelectOption value="bios" label={m.vm.new.bios} />
            <FormSelectOption value="uefi" label={m.vm.new.uefi} />
          </FormSelect>
        </Field>
        <ArchitectureField order={order} set={set} error={error} />
      </div>
      <Field id="vm-net" name="nics" label={m.vm.new.network} error={error}>
        <FormSelect id="vm-net" value={order.hasNic ? 'user' : ''} onChange={(_event, value) => set({ hasNic: value !== '' })}>
          <FormSelectOption value="user" label={m.vm.new.userNet} />
          <FormSelectOption value="" label={m.vm.new.noNet} />
        </FormSelect>
      </Field>
      <div className="horcrux-pair">
        <Field id="vm-id" name="id" label={m.vm.id} error={error} help={m.vm.new.idHelp}>
          <TextInput
            id="vm-id"
            autoComplete="off"
            autoCapitalize="none"
            value={order.id}
            validated={stateOf(error, 'id')}
            onChange={(_event, id) => set({ id })}
          />
        </Field>
        <Field id="vm-tags" name="tags" label={m.vm.tags} error={error} help={m.vm.new.tagsHelp}>
          <TextInput
            id="vm-tags"
            autoComplete="off"
            value={order.tags}
            validated={stateOf(error, 'tags')}
            onChange={(_event, tags) => set({ tags })}
          />
        </Field>
      </div>
      <Checkbox
        id="vm-autostart"
        label={m.vm.new.autostart}
        isChecked={order.autostart}
        onChange={(_event, autostart) => set({ autostart })}
      />
    </Folded>
  );
}

function ArchitectureField({ order, set, error }: OrderFieldsProps) {
  const host = useHost();
  const own = host.data?.architecture ?? '';
  const others = Object.keys(host.data?.machines ?? {}).filter((name) => name !== own);
  return (
    <Field id="vm-arch" name="architecture" label={m.vm.new.architecture} error={error}>
      <FormSelect id="vm-arch" value={order.architecture} onChange={(_event, value) => set({ architecture: value as Architecture | '' })}>
        <FormSelectOption value="" label={m.vm.new.archHost(own)} />
        {others.map((name) => (
          <FormSelectOption key={name} value={name} label={m.vm.new.archEmulated(name)} />
        ))}
      </FormSelect>
    </Field>
  );
}
