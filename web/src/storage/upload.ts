/** An image on its way from this browser. XMLHttpRequest, because fetch tells nothing of what has been sent. */

import { urlOf } from '../api/client';
import { ApiError, errorFrom } from '../api/errors';
import { poolPath } from '../api/queries';

export interface Upload {
  done: Promise<void>;
  stop: () => void;
}

export interface UploadOrder {
  pool: string;
  name: string;
  file: Blob;
  sha256: string;
}

export function upload(order: UploadOrder, sent: (bytes: number) => void): Upload {
  const request = new XMLHttpRequest();
  const path = `${poolPath(order.pool)}/images/${encodeURIComponent(order.name)}`;
  const done = new Promise<void>((resolve, reject) => {
    request.upload.onprogress = (event) => sent(event.loaded);
    request.onload = () => {
      if (request.status < 300) resolve();
      else reject(errorFrom(request.status, request.responseText, headersOf(request)));
    };
    request.onerror = () => reject(new ApiError(0, 'no_answer', 'The upload was cut off. Is the agent still running?', ''));
    request.onabort = () => reject(new DOMException('stopped by the user', 'AbortError'));
  });
  request.open('PUT', urlOf(path, { sha256: order.sha256 || undefined }));
  request.setRequestHeader('X-Horcrux-CSRF', '1');
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.send(order.file);
  return { done, stop: () => request.abort() };
}

function headersOf(request: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const name of ['Retry-After', 'X-Request-Id']) {
    const value = request.getResponseHeader(name);
    if (value) headers.set(name, value);
  }
  return headers;
}
