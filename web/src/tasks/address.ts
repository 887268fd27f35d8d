import { useCallback } from 'react';
import { useLocation, useNavigate } from 'react-router';

const PARAMETER = 'task';
const LIST = 'all';

interface TaskAddress {
  /** The drawer's task; null: its list. */
  id: string | null;
  isOpen: boolean;
  addressOf: (id: string | null) => string;
  close: () => void;
}

/** The task drawer's place in the address (`?task=…`), so that it can be linked to on any page. */
export function useTaskAddress(): TaskAddress {
  const { pathname, search } = useLocation();
  const navigate = useNavigate();
  const value = new URLSearchParams(search).get(PARAMETER);
  const addressOf = useCallback(
    (id: string | null) => {
      const query = new URLSearchParams(search);
      query.set(PARAMETER, id ?? LIST);
      return `${pathname}?${query.toString()}`;
    },
    [pathname, search],
  );
  const close = useCallback(() => {
    const query = new URLSearchParams(search);
    query.delete(PARAMETER);
    void navigate(`${pathname}?${query.toString()}`);
  }, [navigate, pathname, search]);
  return { id: value === LIST ? null : value, isOpen: value !== null, addressOf, close };
}
