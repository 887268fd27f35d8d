/** Calls of the API on our own origin: the session's cookie says who asks, the CSRF header that it was this page. */

import { ApiError, errorFrom } from './errors';
import type { Task } from './types';

type Query = Record<string, string | number | boolean | undefined>;

interface Call {
  query?: Query;
  body?: unknown;
  /** Revision the change was made on. */
  ifMatch?: number;
  signal?: AbortSignal;
}

let onSignedOut: () => void = () => undefined;

/** `listener` runs when the server says that the session is over. */
export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener;
}

export function urlOf(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

export async function get<T>(path: string, call: Omit<Call, 'body' | 'ifMatch'> = {}): Promise<T> {
  return json<T>(await request('GET', path, call));
}

export async function getText(path: string, call: Omit<Call, 'body' | 'ifMatch'> = {}): Promise<string> {
  return (await request('GET', path, call)).text();
}

export async function send<T>(method: 'POST' | 'PATCH' | 'PUT' | 'DELETE', path: string, call: Call = {}): Promise<T> {
  return json<T>(await request(method, path, call));
}

/** Starts what takes long: the task that does it, told by the event stream from here on; null when it is done already. */
export async function start(method: 'POST' | 'PATCH' | 'DELETE', path: string, call: Call = {}): Promise<Task | null> {
  const response = await request(method, path, call);
  return response.status === 202 ? json<Task>(response) : null;
}

async function request(method: string, path: string, call: Call): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (method !== 'GET') {
    headers['X-Horcrux-CSRF'] = '1';
    headers.Prefer = 'respond-async';
  }
  if (method === 'POST') headers['Idempotency-Key'] = freshKey();
  if (call.body !== undefined) headers['Content-Type'] = 'application/json';
  if (call.ifMatch !== undefined) headers['If-Match'] = `"${call.ifMatch}"`;
  const response = await reach(urlOf(path, call.query), {
    method,
    headers,
    credentials: 'same-origin',
    body: call.body === undefined ? undefined : JSON.stringify(call.body),
    signal: call.signal,
  });
  if (response.ok) return response;
  throw await failure(response, path);
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'no_answer', 'The server does not answer. Is the agent running, and the network up?', '');
  }
}

async function failure(response: Response, path: string): Promise<ApiError> {
  const error = errorFrom(response.status, await response.text(), response.headers);
  if (error.status === 401 && !path.startsWith('/api/auth/login') && !path.startsWith('/api/auth/setup')) onSignedOut();
  return error;
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** crypto.randomUUID is there on https and localhost only; a key has to be new, not secret. */
function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
