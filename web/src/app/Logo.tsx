/** The mark: a cut gem, one soul in several facets. */
export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path fill="#8f7bff" d="M16 1.5 27.5 9v14L16 30.5 4.5 23V9z" />
      <path fill="#6a51e6" d="M16 1.5v29L4.5 23V9z" />
      <path fill="#cfc4ff" d="m16 1.5 11.5 7.5L16 15z" />
      <path fill="#a897ff" d="M16 1.5 4.5 9 16 15z" />
      <path fill="#4a34b8" d="M4.5 23 16 15v15.5z" />
    </svg>
  );
}
