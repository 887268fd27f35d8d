import { Button, EmptyState, EmptyStateBody, Truncate } from '@patternfly/react-core';
import { UploadIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useState } from 'react';

import { start } from '../api/client';
import { poolPath, useImages } from '../api/queries';
import type { Image } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { Intro } from '../ui/Intro';
import { RowMenu } from '../ui/RowMenu';
import { ago, bytes } from '../ui/format';
import { useNow } from '../ui/now';
import { FetchImage } from './FetchImage';
import { UploadImage } from './UploadImage';

export function Images({ pool }: { pool: string }) {
  const { may } = useSession();
  const images = useImages(pool);
  const [dialog, setDialog] = useState<'upload' | 'fetch' | null>(null);
  const [doomed, setDoomed] = useState<Image | null>(null);
  const close = () => setDialog(null);
  return (
    <>
      <Intro text={m.storage.imagesIntro}>
        <Button icon={<UploadIcon />} isDisabled={!may('storage.write')} onClick={() => setDialog('upload')}>
          {m.storage.upload}
        </Button>
        <Button variant="secondary" isDisabled={!may('storage.write')} onClick={() => setDialog('fetch')}>
          {m.storage.fetch}
        </Button>
      </Intro>
      <Answer query={images}>{(rows) => <ImageTable images={rows} remove={setDoomed} mayWrite={may('storage.write')} />}</Answer>
      {dialog === 'upload' && <UploadImage pool={pool} close={close} />}
      {dialog === 'fetch' && <FetchImage pool={pool} close={close} />}
      {doomed && <DeleteImage image={doomed} close={() => setDoomed(null)} />}
    </>
  );
}

interface ImageTableProps {
  images: Image[];
  remove: (image: Image) => void;
  mayWrite: boolean;
}

function ImageTable({ images, remove, mayWrite }: ImageTableProps) {
  const now = useNow();
  if (images.length === 0) {
    return (
      <EmptyState titleText={m.storage.noImages} headingLevel="h2" variant="sm">
        <EmptyStateBody>{m.storage.noImagesHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" aria-label={m.storage.images}>
      <Thead>
        <Tr>
          <Th>{m.storage.name}</Th>
          <Th>{m.storage.format}</Th>
          <Th modifier="nowrap">{m.storage.virtualSize}</Th>
          <Th>{m.storage.fileSize}</Th>
          <Th>{m.storage.checksum}</Th>
          <Th>{m.storage.added}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {images.map((image) => (
          <Tr key={image.name}>
            <Td dataLabel={m.storage.name} className="horcrux-mono">
              {image.name}
            </Td>
            <Td dataLabel={m.storage.format}>{image.format}</Td>
            <Td dataLabel={m.storage.virtualSize} modifier="nowrap" className="horcrux-number">
              {bytes(image.virtual_size_bytes)}
            </Td>
            <Td dataLabel={m.storage.fileSize} modifier="nowrap" className="horcrux-number">
              {bytes(image.size_bytes)}
            </Td>
            <Td dataLabel={m.storage.checksum} className="horcrux-mono horcrux-checksum">
              <Truncate content={image.sha256} position="middle" trailingNumChars={6} />
            </Td>
            <Td dataLabel={m.storage.added} modifier="nowrap">{ago(image.created_at, now)}</Td>
            <Td isActionCell>
              <RowMenu
                isDisabled={!mayWrite}
                label={m.storage.actionsOf(image.name)}
                actions={[{ title: m.storage.remove, isDanger: true, run: () => remove(image) }]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function DeleteImage({ image, close }: { image: Image; close: () => void }) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', `${poolPath(image.pool)}/images/${encodeURIComponent(image.name)}`);
    if (task) watch(task);
  };
  return (
    <Confirm title={m.storage.deleteImageTitle(image.name)} action={m.storage.remove} isDanger run={run} close={close}>
      <p>{m.storage.deleteImageBody}</p>
    </Confirm>
  );
}
