/** Tasks in words. */

import type { Task } from '../api/types';
import { m } from '../messages';

export function isFinal(task: Task): boolean {
  return task.state === 'completed' || task.state === 'failed' || task.state === 'cancelled';
}

/** `Start VM vm-100`: the action in words, and the last part of what it works on. */
export function titleOf(task: Task): string {
  const words = m.task.actions[task.action] ?? task.action;
  return `${words} ${subjectOf(task)}`.trim();
}

export function subjectOf(task: Task): string {
  return task.target.slice(task.target.lastIndexOf('/') + 1);
}

export function concerns(task: Task, target: string): boolean {
  return task.target === target || task.target.startsWith(`${target}/`);
}
