import { Alert, AlertActionCloseButton, AlertGroup, type AlertProps } from '@patternfly/react-core';
import { type ReactNode, createContext, useCallback, useContext, useRef, useState } from 'react';

interface Toast {
  id: number;
  variant: AlertProps['variant'];
  title: string;
  body?: ReactNode;
}

type AddToast = (variant: AlertProps['variant'], title: string, body?: ReactNode) => void;

const ToastContext = createContext<AddToast>(() => undefined);

export function useToast(): AddToast {
  return useContext(ToastContext);
}

const SHOWN = 5;
const STAY_MS = 6000;

/** Short news at the page's edge, read out by screen readers. Failures stay until they are closed. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const add = useCallback<AddToast>((variant, title, body) => {
    const id = next.current++;
    setToasts((before) => [{ id, variant, title, body }, ...before].slice(0, SHOWN));
  }, []);
  const close = (id: number) => setToasts((before) => before.filter((toast) => toast.id !== id));
  return (
    <ToastContext value={add}>
      {children}
      <AlertGroup isToast isLiveRegion>
        {toasts.map((toast) => (
          <Alert
            key={toast.id}
            variant={toast.variant}
            title={toast.title}
            className="horcrux-wrap"
            timeout={toast.variant === 'danger' ? false : STAY_MS}
            onTimeout={() => close(toast.id)}
            actionClose={<AlertActionCloseButton title={toast.title} onClose={() => close(toast.id)} />}
          >
            {toast.body}
          </Alert>
        ))}
      </AlertGroup>
    </ToastContext>
  );
}
