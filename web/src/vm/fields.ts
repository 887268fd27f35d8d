import { isApiError } from '../api/errors';

/** Every problem stands beside its field already, so no alert has to repeat it. */
export function isOnlyAboutFields(error: unknown, shown: readonly string[] = EDITED): boolean {
  if (!isApiError(error) || error.fields.length === 0) return false;
  return error.fields.every((problem) =>
    shown.some((name) => problem.field === name || problem.field.startsWith(`${name}.`) || problem.field.startsWith(`${name}[`)),
  );
}

const EDITED = ['name', 'cpu_cores', 'memory_mb', 'firmware', 'tags', 'notes', 'autostart'];
