/** The lines that the page's address names: `#L120`, `#L120-L140`. Lines count from 0 here, from 1 there. */

type Lines = readonly [from: number, to: number];

export function readHash(): Lines | null {
  const parts = /^#L(\d{1,9})(?:-L?(\d{1,9}))?$/.exec(location.hash);
  if (parts === null) return null;
  const from = Math.max(1, Number(parts[1])) - 1;
  const to = Math.max(1, Number(parts[2] ?? parts[1])) - 1;
  return [Math.min(from, to), Math.max(from, to)];
}

export function hashOf([from, to]: Lines): string {
  return from === to ? `#L${from + 1}` : `#L${from + 1}-L${to + 1}`;
}

export function writeHash(lines: Lines | null): void {
  const address = `${location.pathname}${location.search}${lines === null ? "" : hashOf(lines)}`;
  history.replaceState(history.state, "", address);
}
