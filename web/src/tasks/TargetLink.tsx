import { Link } from 'react-router';

import { inRoom } from './room-of';

/** What a task works on, as a link where the console has a room for it. */
export function TargetLink({ target }: { target: string }) {
  const room = inRoom(target);
  return room ? <Link to={room}>{target}</Link> : <>{target}</>;
}
