import { Alert, Button, Title } from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';

import { send } from '../api/client';
import { useTask, useTaskLog } from '../api/queries';
import type { LogLine, Task } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Facts } from '../ui/Facts';
import { duration, moment } from '../ui/format';
import { TaskLabel } from './TaskLabel';
import { TaskProgress } from './TaskRow';
import { TargetLink } from './TargetLink';
import { isFinal, titleOf } from './words';

export function TaskDetail({ id }: { id: string }) {
  const task = useTask(id);
  return <Answer query={task}>{(value) => <Detail task={value} />}</Answer>;
}

function Detail({ task }: { task: Task }) {
  return (
    <>
      <div className="horcrux-line horcrux-between">
        <Title headingLevel="h2" size="lg" className="horcrux-wrap">
          {titleOf(task)}
        </Title>
        <TaskLabel state={task.state} />
      </div>
      <TaskProgress task={task} />
      {task.error && (
        <Alert isInline variant="danger" title={task.error} className="horcrux-wrap">
          {task.error_code && m.error.next[task.error_code]}
        </Alert>
      )}
      {task.warnings.map((warning) => (
        <Alert key={warning} isInline variant="warning" title={warning} />
      ))}
      <TaskFacts task={task} />
      {!isFinal(task) && <CancelButton task={task} />}
      <Log task={task} />
    </>
  );
}

function TaskFacts({ task }: { task: Task }) {
  const facts: [string, React.ReactNode][] = [
    [m.task.target, <TargetLink key="target" target={task.target} />],
    [m.task.who, task.user],
    [m.task.node, task.node],
    [m.task.began, moment(task.started_at ?? task.created_at)],
  ];
  if (task.finished_at) facts.push([m.task.took, duration(task.finished_at - (task.started_at ?? task.created_at))]);
  facts.push([m.task.id, <code key="id">{task.id}</code>]);
  return <Facts facts={facts} width="7rem" />;
}

function CancelButton({ task }: { task: Task }) {
  const { may } = useSession();
  const cancel = useMutation({ mutationFn: () => send('DELETE', `/api/tasks/${encodeURIComponent(task.id)}`) });
  return (
    <>
      {cancel.error && <ErrorAlert error={cancel.error} title={m.task.cancelFailed} />}
      <Button
        variant="secondary"
        isDanger
        isDisabled={!may('task.cancel') || cancel.isSuccess}
        isLoading={cancel.isPending || cancel.isSuccess}
        onClick={() => cancel.mutate()}
      >
        {cancel.isSuccess ? m.task.cancelling : m.task.cancel}
      </Button>
    </>
  );
}

function Log({ task }: { task: Task }) {
  const log = useTaskLog(task.id);
  return (
    <Answer query={log}>
      {(lines) => (lines.length === 0 ? <p className="horcrux-quiet">{m.task.noLog}</p> : <LogLines lines={lines} />)}
    </Answer>
  );
}

/** Follows its own end, as a terminal does. */
function LogLines({ lines }: { lines: LogLine[] }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length]);
  return (
    <div className="horcrux-log" ref={box} role="log" aria-label={m.task.log} tabIndex={0} /* eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- scrolled by keyboard */>
      {lines.map((line, at) => (
        <div key={at}>
          <span className="horcrux-quiet">{new Date(line.at * 1000).toLocaleTimeString()} </span>
          {line.text}
        </div>
      ))}
    </div>
  );
}
