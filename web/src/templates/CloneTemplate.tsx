import { Radio } from '@patternfly/react-core';
import { useState } from 'react';

import { templatePath, usePools } from '../api/queries';
import type { Template } from '../api/types';
import { m } from '../messages';
import { CloneForm } from './CloneForm';
import { canLink } from './clone-words';

type Kind = 'linked' | 'full';

export default function CloneTemplate({ template, close }: { template: Template; close: () => void }) {
  const pools = usePools().data ?? [];
  const mayLink = canLink(template, pools);
  const [wanted, setKind] = useState<Kind>('linked');
  const kind = mayLink ? wanted : 'full';
  return (
    <CloneForm
      id="clone-template"
      title={m.template.cloneTitle(template.name)}
      help={m.template.fresh}
      source={template.id}
      path={templatePath(template.id)}
      isStarted
      ownPools={kind === 'full' ? m.template.samePool : undefined}
      clone_type={kind}
      close={close}
    >
      <KindField kind={kind} setKind={setKind} mayLink={mayLink} />
    </CloneForm>
  );
}

interface KindFieldProps {
  kind: Kind;
  setKind: (kind: Kind) => void;
  mayLink: boolean;
}

function KindField({ kind, setKind, mayLink }: KindFieldProps) {
  return (
    <fieldset className="horcrux-stack">
      <legend className="horcrux-legend">{m.template.type}</legend>
      <Radio
        id="clone-linked"
        name="clone-kind"
        label={m.template.linked}
        description={mayLink ? m.template.linkedHelp : m.template.linkedNot}
        isDisabled={!mayLink}
        isChecked={kind === 'linked'}
        onChange={() => setKind('linked')}
      />
      <Radio
        id="clone-full"
        name="clone-kind"
        label={m.template.full}
        description={m.template.fullHelp}
        isChecked={kind === 'full'}
        onChange={() => setKind('full')}
      />
    </fieldset>
  );
}
