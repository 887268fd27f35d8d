import { Button, EmptyState, EmptyStateBody, FormSelect, FormSelectOption, TextInput, Toolbar, ToolbarContent, ToolbarItem } from '@patternfly/react-core';
import { ActionsColumn, Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useState } from 'react';
import { Link } from 'react-router';

import { start } from '../api/client';
import { poolPath, useVolumes } from '../api/queries';
import type { Volume } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { useWatch } from '../tasks/watch';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { bytes } from '../ui/format';

interface Asked {
  what: 'resize' | 'delete';
  volume: Volume;
}

export function Volumes({ pool }: { pool: string }) {
  const { may } = useSession();
  const volumes = useVolumes(pool);
  const [isCreating, setIsCreating] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  return (
    <>
      <Toolbar>
        <ToolbarContent>
          <ToolbarItem alignSelf="center" className="horcrux-quiet">
            {m.storage.volumesIntro}
          </ToolbarItem>
          <ToolbarItem align={{ default: 'alignEnd' }}>
            <Button variant="secondary" isDisabled={!may('storage.write')} onClick={() => setIsCreating(true)}>
              {m.storage.createVolume}
            </Button>
          </ToolbarItem>
        </ToolbarContent>
      </Toolbar>
      <Answer query={volumes}>{(rows) => <VolumeTable volumes={rows} ask={setAsked} mayWrite={may('storage.write')} />}</Answer>
      {isCreating && <NewVolume pool={pool} close={() => setIsCreating(false)} />}
      {asked?.what === 'resize' && <Resize volume={asked.volume} close={() => setAsked(null)} />}
      {asked?.what === 'delete' && <DeleteVolume volume={asked.volume} close={() => setAsked(null)} />}
    </>
  );
}

interface VolumeTableProps {
  volumes: Volume[];
  ask: (asked: Asked) => void;
  mayWrite: boolean;
}

function VolumeTable({ volumes, ask, mayWrite }: VolumeTableProps) {
  if (volumes.length === 0) {
    return (
      <EmptyState titleText={m.storage.noVolumes} headingLevel="h2" variant="sm">
        <EmptyStateBody>{m.storage.noVolumesHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" aria-label={m.storage.volumes}>
      <Thead>
        <Tr>
          <Th>{m.storage.name}</Th>
          <Th>{m.storage.format}</Th>
          <Th>{m.storage.capacity}</Th>
          <Th>{m.storage.allocated}</Th>
          <Th>{m.storage.usedBy}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {volumes.map((volume) => (
          <Tr key={volume.name}>
            <Td dataLabel={m.storage.name} className="horcrux-mono">
              {volume.name}
            </Td>
            <Td dataLabel={m.storage.format}>{volume.format}</Td>
            <Td dataLabel={m.storage.capacity} className="horcrux-number">
              {bytes(volume.capacity_bytes)}
            </Td>
            <Td dataLabel={m.storage.allocated} className="horcrux-number">
              {bytes(volume.allocation_bytes)}
            </Td>
            <Td dataLabel={m.storage.usedBy}>
              {volume.used_by ? (
                <Link to={`/vms/${encodeURIComponent(volume.used_by.vm_id)}`}>{volume.used_by.vm_id}</Link>
              ) : (
                <span className="horcrux-quiet">{m.storage.unused}</span>
              )}
            </Td>
            <Td isActionCell>
              <ActionsColumn
                isDisabled={!mayWrite}
                aria-label={m.storage.actionsOf(volume.name)}
                items={[
                  { title: m.storage.resize, onClick: () => ask({ what: 'resize', volume }) },
                  { title: m.storage.remove, isDanger: true, onClick: () => ask({ what: 'delete', volume }) },
                ]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function NewVolume({ pool, close }: { pool: string; close: () => void }) {
  const [name, setName] = useState('');
  const [size, setSize] = useState('10');
  const [format, setFormat] = useState('qcow2');
  const body = { name, size_gb: Number(size), format };
  const form = useTaskForm(() => start('POST', `${poolPath(pool)}/volumes`, { body }), close);
  return (
    <FormDialog
      id="new-volume"
      title={m.storage.createVolume}
      action={m.storage.createVolume}
      error={form.error}
      isPending={form.isPending}
      isReady={name !== '' && size !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="volume-name" name="name" label={m.storage.name} error={form.error} isRequired>
        <TextInput id="volume-name" value={name} validated={stateOf(form.error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      <SizeField value={size} change={setSize} error={form.error} />
      <Field id="volume-format" name="format" label={m.storage.format} error={form.error}>
        <FormSelect id="volume-format" value={format} onChange={(_event, value) => setFormat(value)}>
          <FormSelectOption value="qcow2" label="qcow2" />
          <FormSelectOption value="raw" label="raw" />
        </FormSelect>
      </Field>
    </FormDialog>
  );
}

function SizeField({ value, change, error, help }: { value: string; change: (value: string) => void; error: unknown; help?: string }) {
  return (
    <Field id="volume-size" name="size_gb" label={m.storage.sizeGb} error={error} help={help} isRequired>
      <TextInput
        id="volume-size"
        type="number"
        min={0}
        step="any"
        value={value}
        validated={stateOf(error, 'size_gb')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}

function Resize({ volume, close }: { volume: Volume; close: () => void }) {
  const [size, setSize] = useState(String(volume.size_gb));
  const path = `${poolPath(volume.pool)}/volumes/${encodeURIComponent(volume.name)}/resize`;
  const form = useTaskForm(() => start('POST', path, { body: { size_gb: Number(size) } }), close);
  return (
    <FormDialog
      id="resize-volume"
      title={m.storage.resizeTitle(volume.name)}
      action={m.storage.resize}
      error={form.error}
      isPending={form.isPending}
      isReady={Number(size) > volume.size_gb}
      submit={() => form.mutate()}
      close={close}
    >
      <SizeField value={size} change={setSize} error={form.error} help={m.storage.resizeHelp} />
    </FormDialog>
  );
}

function DeleteVolume({ volume, close }: { volume: Volume; close: () => void }) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', `${poolPath(volume.pool)}/volumes/${encodeURIComponent(volume.name)}`);
    if (task) watch(task);
  };
  return (
    <Confirm title={m.storage.deleteVolumeTitle(volume.name)} action={m.storage.remove} isDanger run={run} close={close}>
      <p>{m.storage.deleteVolumeBody}</p>
    </Confirm>
  );
}
