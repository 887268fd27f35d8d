import { Checkbox, FormSelect, FormSelectOption, NumberInput, TextInput } from '@patternfly/react-core';

import { useImages, usePools } from '../api/queries';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import { gibibytes, mebibytes } from '../ui/format';
import type { Order } from './order';

export interface OrderFieldsProps {
  order: Order;
  set: (change: Partial<Order>) => void;
  error: unknown;
}

const NO_DISK = ':none';

export function BasicFields({ order, set, error }: OrderFieldsProps) {
  return (
    <>
      <Field id="vm-name" name="name" label={m.vm.name} error={error} help={m.vm.new.nameHelp}>
        <TextInput
          id="vm-name"
          value={order.name}
          autoComplete="off"
          validated={stateOf(error, 'name')}
          onChange={(_event, name) => set({ name })}
        />
      </Field>
      <DiskFields order={order} set={set} error={error} />
      <div className="horcrux-pair">
        <Field id="vm-cpu" name="cpu_cores" label={m.vm.cpu} error={error}>
          <CountInput id="vm-cpu" value={order.cpuCores} step={1} change={(cpuCores) => set({ cpuCores })} />
        </Field>
        <Field
          id="vm-memory"
          name="memory_mb"
          label={m.vm.new.memory}
          error={error}
          help={m.vm.new.memoryIs(mebibytes(Number(order.memoryMb) || 0))}
        >
          <CountInput id="vm-memory" value={order.memoryMb} step={512} change={(memoryMb) => set({ memoryMb })} />
        </Field>
      </div>
      <Checkbox id="vm-start" label={m.vm.new.start} isChecked={order.start} onChange={(_event, start) => set({ start })} />
    </>
  );
}

interface CountInputProps {
  id: string;
  value: string;
  step: number;
  change: (value: string) => void;
}

function CountInput({ id, value, step, change }: CountInputProps) {
  const count = Number(value) || 0;
  return (
    <NumberInput
      value={value === '' ? '' : count}
      min={1}
      inputName={id}
      inputProps={{ id }}
      inputAriaLabel={id}
      minusBtnAriaLabel={m.vm.new.less}
      plusBtnAriaLabel={m.vm.new.plus}
      onMinus={() => change(String(Math.max(1, count - step)))}
      onPlus={() => change(String(count === 1 && step > 1 ? step : count + step))}
      onChange={(event) => change((event.target as HTMLInputElement).value)}
    />
  );
}

function DiskFields({ order, set, error }: OrderFieldsProps) {
  const pools = usePools();
  const images = useImages(order.pool);
  const disks = images.data?.filter((image) => image.format !== 'iso') ?? [];
  const cds = images.data?.filter((image) => image.format === 'iso') ?? [];
  const pickSource = (value: string) => {
    if (value === NO_DISK) {
      set({ hasDisk: false, image: '' });
      return;
    }
    const image = disks.find((other) => other.name === value);
    const least = image ? Math.ceil(image.virtual_size_bytes / 2 ** 30) : 10;
    set({ hasDisk: true, image: value, diskGb: String(Math.max(least, Number(order.diskGb) || 0)) });
  };
  return (
    <>
      <div className="horcrux-pair">
        <Field id="vm-pool" name="disks[0].storage_pool" label={m.vm.new.pool} error={error}>
          <FormSelect id="vm-pool" value={order.pool} onChange={(_event, pool) => set({ pool, image: '', cdrom: '' })}>
            {(pools.data ?? [{ id: order.pool, name: order.pool }]).map((pool) => (
              <FormSelectOption key={pool.id} value={pool.id} label={pool.name} />
            ))}
          </FormSelect>
        </Field>
        <Field id="vm-image" name="disks[0].image" label={m.vm.new.image} error={error}>
          <FormSelect id="vm-image" value={order.hasDisk ? order.image : NO_DISK} onChange={(_event, value) => pickSource(value)}>
            <FormSelectOption value="" label={m.vm.new.emptyDisk} />
            {disks.map((image) => (
              <FormSelectOption
                key={image.name}
                value={image.name}
                label={`${image.name} (${gibibytes(image.virtual_size_bytes / 2 ** 30)})`}
              />
            ))}
            <FormSelectOption value={NO_DISK} label={m.vm.new.noDisk} />
          </FormSelect>
        </Field>
      </div>
      <div className="horcrux-pair">
        {order.hasDisk && (
          <Field
            id="vm-disk"
            name="disks[0].size_gb"
            label={m.vm.new.disk}
            error={error}
            help={order.image ? m.vm.new.diskHelp : undefined}
          >
            <CountInput id="vm-disk" value={order.diskGb} step={5} change={(diskGb) => set({ diskGb })} />
          </Field>
        )}
        <Field id="vm-cdrom" name="cdrom" label={m.vm.new.cdrom} error={error}>
          <FormSelect id="vm-cdrom" value={order.cdrom} onChange={(_event, cdrom) => set({ cdrom })}>
            <FormSelectOption value="" label={m.vm.new.noCd} />
            {cds.map((image) => (
              <FormSelectOption key={image.name} value={`${image.pool}/${image.name}`} label={image.name} />
            ))}
          </FormSelect>
        </Field>
      </div>
    </>
  );
}
