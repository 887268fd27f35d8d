import { Card, CardBody, CardTitle, ClipboardCopyButton, Title } from '@patternfly/react-core';
import { useState } from 'react';

import { m } from '../messages';
import { Facts } from '../ui/Facts';
import { mebibytes } from '../ui/format';
import { type Order, asApiCall, asCommand } from './order';

/** What is about to be made, and how to make it without this page. */
export function NewVmSummary({ order }: { order: Order }) {
  const disk = order.hasDisk ? [order.image || m.vm.new.emptyDisk, order.diskGb && `${order.diskGb} GiB`, order.pool] : [m.none];
  const facts: [string, string][] = [
    [m.vm.name, order.name || order.id || 'vm-…'],
    [m.vm.cpu, order.cpuCores],
    [m.vm.memory, mebibytes(Number(order.memoryMb) || 0)],
    [m.vm.disks, disk.filter(Boolean).join(' · ')],
  ];
  return (
    <div className="horcrux-sticky">
      <Card isCompact>
        <CardTitle component="h2">{m.vm.new.summary}</CardTitle>
        <CardBody>
          <div className="horcrux-stack">
            <Facts facts={facts} width="6rem" />
            <Code id="as-cli" title={m.vm.new.asCli} text={asCommand(order)} />
            <Code id="as-api" title={m.vm.new.asApi} text={asApiCall(order, location.origin)} />
          </div>
        </CardBody>
      </Card>
    </div>
  );
}

function Code({ id, title, text }: { id: string; title: string; text: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => setIsCopied(true));
  };
  return (
    <section>
      <div className="horcrux-line horcrux-between">
        <Title headingLevel="h3" size="md">
          {title}
        </Title>
        <ClipboardCopyButton
          id={`${id}-copy`}
          aria-label={m.copy}
          variant="plain"
          onClick={copy}
          onTooltipHidden={() => setIsCopied(false)}
        >
          {isCopied ? m.copied : m.copy}
        </ClipboardCopyButton>
      </div>
      <pre
        className="horcrux-log"
        id={id}
        tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- scrolled by keyboard
      >
        {text}
      </pre>
    </section>
  );
}
