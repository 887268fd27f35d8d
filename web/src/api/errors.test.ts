import { describe, expect, it } from 'vitest';

import { errorFrom, problemOf } from './errors';

const none = new Headers();

describe('an error of the API', () => {
  it('carries the sentence, the code, the request id and the task', () => {
    const body = JSON.stringify({ error: 'task t1 works on it', code: 'busy', request_id: 'r1', task: 't1' });
    const error = errorFrom(409, body, none);
    expect([error.message, error.code, error.requestId, error.task]).toEqual(['task t1 works on it', 'busy', 'r1', 't1']);
  });

  it('shows a problem beside its field, and beside the field it is part of', () => {
    const fields = [{ field: 'disks[0].size_gb', message: 'at least 1' }];
    const error = errorFrom(400, JSON.stringify({ error: 'wrong', fields }), none);
    expect(problemOf(error, 'disks[0].size_gb')).toBe('at least 1');
    expect(problemOf(error, 'disks')).toBe('at least 1');
    expect(problemOf(error, 'disk')).toBeNull();
  });

  it('is told for an answer that is no JSON', () => {
    const error = errorFrom(502, '<html>Bad Gateway</html>', new Headers({ 'X-Request-Id': 'r2', 'Retry-After': '7' }));
    expect([error.code, error.requestId, error.retryAfterS]).toEqual(['http_502', 'r2', 7]);
    expect(error.message).toContain('502');
  });
});
