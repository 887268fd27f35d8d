import { Button } from '@patternfly/react-core';
import { useState } from 'react';

import { useVolumes } from '../api/queries';
import type { Pool, Volume } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Intro } from '../ui/Intro';
import { NewVolume } from './NewVolume';
import { DeleteVolume, ResizeVolume } from './VolumeForms';
import { type AskedVolume, VolumeTable } from './VolumeTable';

export function Volumes({ pool }: { pool: Pool }) {
  const { may } = useSession();
  const volumes = useVolumes(pool.id);
  const [isCreating, setIsCreating] = useState(false);
  const [asked, setAsked] = useState<AskedVolume | null>(null);
  const close = () => setAsked(null);
  const table = (rows: Volume[]) => (
    <VolumeTable volumes={rows} hasSnapshots={pool.can_snapshot} ask={setAsked} mayWrite={may('storage.write')} />
  );
  return (
    <>
      <Intro text={m.storage.volumesIntro}>
        <Button variant="secondary" isDisabled={!may('storage.write')} onClick={() => setIsCreating(true)}>
          {m.storage.createVolume}
        </Button>
      </Intro>
      <Answer query={volumes}>{table}</Answer>
      {isCreating && <NewVolume pool={pool} close={() => setIsCreating(false)} />}
      {asked?.what === 'resize' && <ResizeVolume volume={asked.volume} close={close} />}
      {asked?.what === 'delete' && <DeleteVolume volume={asked.volume} close={close} />}
    </>
  );
}
