import { Button, Label, Spinner, Switch, Toolbar, ToolbarContent, ToolbarGroup, ToolbarItem } from '@patternfly/react-core';
import { ExpandIcon, KeyboardIcon, PlayIcon } from '@patternfly/react-icons';
import { useMemo, useRef, useState } from 'react';

import type { VmView } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { usePower } from '../vm/actions';
import { hasScreen } from '../vm/power';
import { KeyMenu } from './KeyMenu';
import { SendText } from './SendText';
import { press } from './keys';
import { type ScreenPhase, useScreen } from './useScreen';

/** The machine's screen. It waits while the machine is off, and comes back when it runs again. */
export default function VncConsole({ vm }: { vm: VmView }) {
  const { may } = useSession();
  const frame = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [isScaled, setIsScaled] = useState(true);
  const [isViewOnly, setIsViewOnly] = useState(false);
  const [isTyping, setIsTyping] = useState(false);
  const look = useMemo(() => ({ isScaled, isViewOnly }), [isScaled, isViewOnly]);
  const isAllowed = may('vm.console');
  const screen = useScreen(box, vm.id, isAllowed && hasScreen(vm.status), look);
  const canType = screen.phase === 'live' && !isViewOnly;
  return (
    <>
      <Toolbar>
        <ToolbarContent>
          <ToolbarItem alignSelf="center">
            <PhaseLabel phase={screen.phase} />
          </ToolbarItem>
          <ToolbarItem>
            <KeyMenu
              isDisabled={!canType}
              send={(chord) => {
                press(chord, (keysym, code, isDown) => screen.rfb.current?.sendKey(keysym, code, isDown));
                screen.rfb.current?.focus();
              }}
            />
          </ToolbarItem>
          <ToolbarItem>
            <Button variant="secondary" icon={<KeyboardIcon />} isDisabled={!canType} onClick={() => setIsTyping(true)}>
              {m.console.sendText}
            </Button>
          </ToolbarItem>
          <ToolbarGroup align={{ default: 'alignEnd' }} alignItems="center">
            <ToolbarItem>
              <Switch id="view-only" label={m.console.viewOnly} isChecked={isViewOnly} onChange={(_event, on) => setIsViewOnly(on)} />
            </ToolbarItem>
            <ToolbarItem>
              <Switch id="scale" label={m.console.scale} isChecked={isScaled} onChange={(_event, on) => setIsScaled(on)} />
            </ToolbarItem>
            <ToolbarItem>
              <Button variant="secondary" icon={<ExpandIcon />} onClick={() => void frame.current?.requestFullscreen()}>
                {m.console.fullScreen}
              </Button>
            </ToolbarItem>
          </ToolbarGroup>
        </ToolbarContent>
      </Toolbar>
      <div className="horcrux-screen" ref={frame}>
        <div className="horcrux-canvas" ref={box} role="application" aria-label={m.console.screen(vm.name)} data-phase={screen.phase} />
        <Veil vm={vm} phase={screen.phase} refusal={isAllowed ? screen.refusal : m.console.noRight} again={screen.again} />
      </div>
      {isTyping && <SendText vmId={vm.id} close={() => setIsTyping(false)} />}
    </>
  );
}

function PhaseLabel({ phase }: { phase: ScreenPhase }) {
  const isLive = phase === 'live';
  return (
    <Label role="status" color={isLive ? 'green' : 'grey'}>
      {isLive ? m.console.live : phase === 'off' ? m.console.closed : m.console.connecting}
    </Label>
  );
}

interface VeilProps {
  vm: VmView;
  phase: ScreenPhase;
  refusal: string | null;
  again: () => void;
}

/** What stands over the screen while there is no picture. */
function Veil({ vm, phase, refusal, again }: VeilProps) {
  const power = usePower();
  if (phase === 'live') return null;
  if (phase === 'off') {
    return (
      <div className="horcrux-veil">
        <p>{refusal ?? m.console.stopped}</p>
        {!refusal && <p>{m.console.stoppedHow}</p>}
        {vm.allowed_actions.start?.allowed && (
          <Button icon={<PlayIcon />} onClick={() => void power(vm, 'start')}>
            {m.vm.verb.start}
          </Button>
        )}
      </div>
    );
  }
  return (
    <div className="horcrux-veil">
      <Spinner size="lg" aria-label={m.console.connecting} />
      <p>{phase === 'lost' ? m.console.lost : m.console.connecting}</p>
      {refusal && <p>{refusal}</p>}
      {phase === 'lost' && (
        <Button variant="secondary" onClick={again}>
          {m.console.reconnect}
        </Button>
      )}
    </div>
  );
}
