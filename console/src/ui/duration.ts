/** How long something takes, in words: the same everywhere. Pure. */

/** What is over: `840 ms`, `12.3 s`, `4 min 5 s`, `2 h 10 min`. */
export function durationOf(ms: number): string {
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return ticking(Math.round(ms / 1000) * 1000);
}

/** What is still counting, in whole seconds: `42 s`, `3 min 12 s`, `1 h 4 min`. */
export function ticking(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
