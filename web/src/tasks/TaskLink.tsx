import type { ReactNode } from 'react';
import { Link } from 'react-router';

import { useTaskAddress } from './address';

/** Opens the task drawer on one task, and leaves the page below as it is. */
export function TaskLink({ id, children }: { id: string; children: ReactNode }) {
  const { addressOf } = useTaskAddress();
  return <Link to={addressOf(id)}>{children}</Link>;
}
