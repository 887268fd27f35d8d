/** What each type of pool asks for, in its own words: pure. */

import type { FoundPool, PoolType } from '../api/types';
import { m } from '../messages';

export interface OptionField {
  key: string;
  label: string;
  help?: string;
  isRequired?: boolean;
  /** What there is to choose from, with its words; anything may be typed where it is absent. */
  choice?: Readonly<Record<string, string>>;
  /** Key of the option without which it means nothing, and is not asked for. */
  onlyWith?: string;
}

export interface PoolForm {
  type: PoolType;
  /** What the target is called, and what it is to look like. */
  target: string;
  help: string;
  options: readonly OptionField[];
  /** The host can say what there is to choose from. */
  isFound?: boolean;
}

const words = m.storage.forms;

const account: readonly OptionField[] = [
  { key: 'user', label: words.user, help: words.userHelp },
  { key: 'key_file', label: words.keyFile, help: words.keyFileHelp },
];

export const POOL_FORMS: readonly PoolForm[] = [
  { type: 'dir', target: m.storage.folder, help: m.storage.folderHelp, options: [] },
  {
    type: 'zfs',
    target: words.dataset,
    help: words.datasetHelp,
    options: [
      { key: 'sparse', label: words.sparse, choice: words.sparses },
      { key: 'block_size', label: words.blockSize, help: words.blockSizeHelp },
      { key: 'compression', label: words.compression, help: words.compressionHelp },
      { key: 'encryption', label: words.encryption, choice: words.encryptions },
      { key: 'key_file', label: words.zfsKeyFile, help: words.zfsKeyFileHelp, onlyWith: 'encryption' },
    ],
    isFound: true,
  },
  {
    type: 'nfs',
    target: words.share,
    help: words.shareHelp,
    options: [{ key: 'version', label: words.version, choice: words.versions }],
  },
  {
    type: 'lvm',
    target: words.group,
    help: words.groupHelp,
    options: [{ key: 'thin_pool', label: words.thin, help: words.thinHelp }],
    isFound: true,
  },
  {
    type: 'iscsi',
    target: words.iqn,
    help: words.iqnHelp,
    options: [
      { key: 'portal', label: words.portal, help: words.portalHelp, isRequired: true },
      { key: 'initiator', label: words.initiator, help: words.initiatorHelp },
      ...account,
    ],
  },
  {
    type: 'rbd',
    target: words.cephPool,
    help: words.cephPoolHelp,
    options: [{ key: 'monitors', label: words.monitors, help: words.monitorsHelp, isRequired: true }, ...account],
  },
];

export function formOf(type: PoolType): PoolForm {
  const form = POOL_FORMS.find((each) => each.type === type);
  if (!form) throw new Error(`no form for pools of type ${type}`);
  return form;
}

/** What is asked for, given what is filled in so far. */
export function fieldsOf(form: PoolForm, typed: Readonly<Record<string, string>>): OptionField[] {
  return form.options.filter((field) => field.onlyWith === undefined || (typed[field.onlyWith] ?? '') !== '');
}

/** Options as they are sent: those of the form that were filled in. */
export function optionsOf(form: PoolForm, typed: Readonly<Record<string, string>>): Record<string, string> {
  const filled = fieldsOf(form, typed).map(({ key }) => [key, (typed[key] ?? '').trim()] as const).filter(([, value]) => value !== '');
  return Object.fromEntries(filled);
}

export function isComplete(form: PoolForm, id: string, target: string, typed: Readonly<Record<string, string>>): boolean {
  const options = optionsOf(form, typed);
  return id !== '' && target.trim() !== '' && form.options.every((field) => !field.isRequired || field.key in options);
}

/** What the host has for this type and no pool stands on yet. */
export function offersOf(type: PoolType, found: readonly FoundPool[]): FoundPool[] {
  return found.filter((each) => each.storage_type === type && each.pool === null);
}
