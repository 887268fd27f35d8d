const next: Record<string, string> = {
  invalid: 'Correct what was entered and try again.',
  invalid_fields: 'Correct the marked fields and try again.',
  forbidden: 'Ask an administrator for the right to do this.',
  not_found: 'It may have been deleted meanwhile.',
  busy: 'Wait until the other task is over, or cancel it.',
  in_use: 'Detach or delete what uses it first.',
  stale: 'Reload to see what changed, then make your change again.',
  already_exists: 'Choose another name.',
  host_lacks: 'The overview lists what this host lacks, with the remedy.',
  no_space: 'Free some space in the pool, or choose another one.',
  quota_exceeded: 'Ask an administrator for a higher quota, or delete what is no longer needed.',
  unavailable: 'Try again in a moment.',
  unreachable: 'Check that the other system is up and reachable from this host.',
  interrupted: 'What had been begun was undone; start it again.',
  no_answer: 'Look at the service on the host: systemctl status horcrux-agent',
  internal: 'This is a fault of Horcrux. Its log tells more under the request id.',
};

export const errors = {
  next,
  requestId: 'Request id',
  showHolder: 'Show the task that holds it',
  reload: 'Reload the page. If it happens again, it is a fault of ours.',
  notLoaded: 'The server does not answer, so this part of the console is not loaded. If it was just updated, reload the page.',
  reloadPage: 'Reload the page',
  roomBroke: 'This page has failed',
  waitS: (seconds: number) => `Too many requests. Wait ${seconds} s and try again.`,
};
