/** The list's filter, order and page, as its address holds them: pure. */

import type { RunState, VmListItem } from '../api/types';

export type Column = 'name' | 'status' | 'cpu_cores' | 'memory_mb' | 'node';

export interface Choice {
  text: string;
  status: RunState | '';
  tag: string;
  column: Column;
  isDescending: boolean;
  page: number;
  perPage: number;
}

export const PER_PAGE = 50;

const COLUMNS: readonly string[] = ['name', 'status', 'cpu_cores', 'memory_mb', 'node'];

export function choiceOf(query: URLSearchParams): Choice {
  const sort = query.get('sort') ?? 'name';
  const column = sort.replace(/^-/, '');
  return {
    text: query.get('q') ?? '',
    status: (query.get('status') ?? '') as RunState | '',
    tag: query.get('tag') ?? '',
    column: (COLUMNS.includes(column) ? column : 'name') as Column,
    isDescending: sort.startsWith('-'),
    page: Math.max(1, Number(query.get('page')) || 1),
    perPage: Number(query.get('per')) || PER_PAGE,
  };
}

export function select(vms: readonly VmListItem[], choice: Choice): VmListItem[] {
  const text = choice.text.trim().toLowerCase();
  const found = vms.filter(
    (vm) =>
      (!choice.status || vm.status === choice.status) &&
      (!choice.tag || vm.tags.includes(choice.tag)) &&
      (!text || `${vm.name}\n${vm.id}\n${vm.tags.join('\n')}`.toLowerCase().includes(text)),
  );
  const sign = choice.isDescending ? -1 : 1;
  return found.sort((a, b) => sign * (compare(a[choice.column], b[choice.column]) || compare(a.id, b.id)));
}

const names = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

function compare(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : names.compare(String(a), String(b));
}

/** The rows of the page that is asked for, or of the last one when there are not so many. */
export function pageOf<T>(rows: readonly T[], page: number, perPage: number): { rows: T[]; page: number } {
  const last = Math.max(1, Math.ceil(rows.length / perPage));
  const shown = Math.min(page, last);
  return { rows: rows.slice((shown - 1) * perPage, shown * perPage), page: shown };
}
