import { Button, Card, CardBody, CardTitle, Form, PageSection } from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { start } from '../api/client';
import type { Task } from '../api/types';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { subjectOf } from '../tasks/words';
import { ErrorAlert } from '../ui/ErrorAlert';
import { LinkButton } from '../ui/LinkButton';
import { Room } from '../ui/Room';
import { BasicFields } from './NewVmBasics';
import { GuestFields, MoreFields } from './NewVmMore';
import { NewVmSummary } from './NewVmSummary';
import { isOnlyAboutFields } from './fields';
import { EMPTY, type Order, bodyOf } from './order';

const SHOWN_FIELDS = [
  'name', 'id', 'cpu_cores', 'memory_mb', 'disks', 'cdrom', 'architecture', 'firmware', 'tags', 'cloud_init', 'nics',
];

const CRUMBS = [{ to: '/vms', text: m.vm.title }];

export default function NewVmRoom() {
  const [order, setOrder] = useState<Order>(EMPTY);
  const navigate = useNavigate();
  const watch = useWatch();
  const create = useMutation({
    mutationFn: () => start('POST', '/api/vms', { body: bodyOf(order) }),
    onSuccess: (task: Task | null) => {
      if (task) watch(task);
      void navigate(task ? `/vms/${encodeURIComponent(subjectOf(task))}` : '/vms');
    },
  });
  const set = (change: Partial<Order>) => setOrder((before) => ({ ...before, ...change }));
  return (
    <Room title={m.vm.new.title} crumbs={CRUMBS}>
      <PageSection hasBodyWrapper={false}>
        <div className="horcrux-columns">
          <Form
            id="new-vm"
            onSubmit={(event) => {
              event.preventDefault();
              create.mutate();
            }}
          >
            {create.error && !isOnlyAboutFields(create.error, SHOWN_FIELDS) && (
              <ErrorAlert error={create.error} title={m.vm.new.failed} />
            )}
            <Card>
              <CardTitle component="h2">{m.vm.new.basics}</CardTitle>
              <CardBody>
                <div className="horcrux-stack">
                  <BasicFields order={order} set={set} error={create.error} />
                </div>
              </CardBody>
            </Card>
            <GuestFields order={order} set={set} error={create.error} />
            <MoreFields order={order} set={set} error={create.error} />
            <div className="horcrux-line">
              <Button type="submit" isLoading={create.isPending} isDisabled={create.isPending}>
                {m.vm.new.submit}
              </Button>
              <LinkButton variant="link" to="/vms">
                {m.cancel}
              </LinkButton>
            </div>
          </Form>
          <NewVmSummary order={order} />
        </div>
      </PageSection>
    </Room>
  );
}
