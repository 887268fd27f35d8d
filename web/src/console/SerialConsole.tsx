import '@xterm/xterm/css/xterm.css';

import { Button, Label, Toolbar, ToolbarContent, ToolbarGroup, ToolbarItem } from '@patternfly/react-core';
import { DownloadIcon, PasteIcon, PlayIcon } from '@patternfly/react-icons';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { type RefObject, useEffect, useRef, useState } from 'react';

import { urlOf } from '../api/client';
import { vmPath } from '../api/queries';
import type { VmView } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { usePower } from '../vm/actions';
import { hasScreen } from '../vm/power';
import { PasteText } from './PasteText';
import { type LinePhase, SerialLine } from './line';

const THEME = { background: '#0b0a10', foreground: '#e8e5f5', cursor: '#b9adff', selectionBackground: '#5a43cf99' };
const LOG_BYTES = 1 << 20;

export default function SerialConsole({ vm }: { vm: VmView }) {
  const { may } = useSession();
  const box = useRef<HTMLDivElement>(null);
  const terminal = useRef<Terminal | null>(null);
  const [isPasting, setIsPasting] = useState(false);
  const isAllowed = may('vm.console');
  const { phase, reason } = useSerial(box, terminal, vm, isAllowed && hasScreen(vm.status));
  return (
    <>
      <Toolbar>
        <ToolbarContent>
          <ToolbarItem alignSelf="center">
            <Label role="status" color={phase === 'live' ? 'green' : 'grey'}>
              {phase === 'live' ? m.console.live : phase === 'off' ? m.console.closed : m.console.connecting}
            </Label>
          </ToolbarItem>
          <ToolbarItem>
            <Button variant="secondary" icon={<PasteIcon />} isDisabled={phase !== 'live'} onClick={() => setIsPasting(true)}>
              {m.console.paste}
            </Button>
          </ToolbarItem>
          <ToolbarItem>
            <Button variant="link" onClick={() => terminal.current?.clear()}>
              {m.console.clear}
            </Button>
          </ToolbarItem>
          <ToolbarGroup align={{ default: 'alignEnd' }}>
            <ToolbarItem>
              <Button
                variant="secondary"
                component="a"
                icon={<DownloadIcon />}
                isAriaDisabled={!isAllowed}
                href={urlOf(`${vmPath(vm.id)}/serial`, { tail: LOG_BYTES })}
                download={`${vm.id}-serial.log`}
              >
                {m.console.download}
              </Button>
            </ToolbarItem>
          </ToolbarGroup>
        </ToolbarContent>
      </Toolbar>
      <div className="horcrux-screen horcrux-terminal">
        <div className="horcrux-canvas" ref={box} role="group" aria-label={m.console.terminal(vm.name)} data-phase={phase} />
        <Veil vm={vm} phase={phase} reason={isAllowed ? reason : m.console.noRight} />
      </div>
      {isPasting && (
        <PasteText
          close={() => setIsPasting(false)}
          send={(text) => {
            terminal.current?.paste(text);
            terminal.current?.focus();
          }}
        />
      )}
    </>
  );
}

function useSerial(
  box: RefObject<HTMLDivElement | null>,
  terminal: RefObject<Terminal | null>,
  vm: VmView,
  isOn: boolean,
): { phase: LinePhase; reason: string } {
  const [state, setState] = useState<{ phase: LinePhase; reason: string }>({ phase: 'connecting', reason: '' });
  const vmId = vm.id;
  useEffect(() => {
    const target = box.current;
    if (!isOn || !target) {
      setState({ phase: 'off', reason: '' });
      return;
    }
    const screen = new Terminal({
      theme: THEME,
      fontFamily: '"Red Hat Mono", monospace',
      fontSize: 14,
      scrollback: 10_000,
      cursorBlink: true,
      screenReaderMode: true,
    });
    const fit = new FitAddon();
    screen.loadAddon(fit);
    screen.open(target);
    fit.fit();
    terminal.current = screen;
    const line = new SerialLine(vmId, {
      bytes: (data) => screen.write(data),
      phase: (phase, reason) => setState({ phase, reason }),
      fresh: () => screen.reset(),
    });
    const typing = screen.onData((text) => line.type(text));
    const sizes = new ResizeObserver(() => fit.fit());
    sizes.observe(target);
    line.open();
    return () => {
      sizes.disconnect();
      typing.dispose();
      line.close();
      screen.dispose();
      terminal.current = null;
    };
  }, [box, terminal, vmId, isOn]);
  return state;
}

function Veil({ vm, phase, reason }: { vm: VmView; phase: LinePhase; reason: string }) {
  const power = usePower();
  if (phase === 'live') return null;
  const words = { connecting: m.console.connecting, lost: m.console.lost, off: m.console.stopped, live: '' }[phase];
  return (
    <div className="horcrux-veil">
      <p>{words}</p>
      {reason && <p>{reason}</p>}
      {phase === 'off' && vm.allowed_actions.start?.allowed && (
        <Button icon={<PlayIcon />} onClick={() => void power(vm, 'start')}>
          {m.vm.verb.start}
        </Button>
      )}
    </div>
  );
}
