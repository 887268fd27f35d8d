/** The room of a task's target: `vm/vm-100` -> `/vms/vm-100`; null when there is none. */
export function inRoom(target: string): string | null {
  const [noun, id, list] = target.split('/');
  if (!id) return null;
  if (noun === 'vm') return `/vms/${encodeURIComponent(id)}`;
  if (noun === 'storage') return `/storage/${encodeURIComponent(id)}${list === 'images' ? '/images' : ''}`;
  if (noun === 'template') return `/templates/${encodeURIComponent(id)}`;
  return null;
}
