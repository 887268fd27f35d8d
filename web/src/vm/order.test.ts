import { describe, expect, it } from 'vitest';

import { EMPTY, asApiCall, asCommand, bodyOf, quote } from './order';

describe('an order for a machine', () => {
  it('leaves out what is left at its default', () => {
    expect(bodyOf({ ...EMPTY, start: false })).toEqual({
      cpu_cores: 1,
      memory_mb: 1024,
      disks: [{ storage_pool: 'local', size_gb: 10 }],
    });
  });

  it('carries everything that was filled in', () => {
    const order = { ...EMPTY, name: ' web ', image: 'a.qcow2', diskGb: '', user: 'me', sshKeys: ' k1 \n\nk2', tags: 'a, ,b', hasNic: false };
    expect(bodyOf(order)).toEqual({
      name: 'web',
      cpu_cores: 1,
      memory_mb: 1024,
      disks: [{ storage_pool: 'local', image: 'a.qcow2' }],
      nics: [],
      tags: ['a', 'b'],
      cloud_init: { user: 'me', ssh_keys: ['k1', 'k2'] },
      start: true,
    });
  });

  it('reads as a command, and as a call, that a shell takes as they stand', () => {
    const order = { ...EMPTY, id: 'vm-7', name: "it's $HOME" };
    expect(asCommand(order)).toContain('horcrux vm create \\\n  vm-7 \\\n  --name \'it\'\\\'\'s $HOME\'');
    expect(asApiCall(order, 'https://host:8006')).toContain("https://host:8006/api/vms");
    expect(quote('plain-1.2')).toBe('plain-1.2');
  });
});
