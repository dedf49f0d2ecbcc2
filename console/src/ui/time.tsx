import { signal } from "@preact/signals";

const TICK_MS = 15_000;
const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, TICK_MS);
document.addEventListener("visibilitychange", () => (now.value = Date.now()));

/** "3 min ago", with the exact time for who points at it. */
export function Ago({ at }: { at: string }) {
  const time = Date.parse(at);
  const exact = new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  return (
    <time dateTime={at} title={exact}>
      {agoOf(time, Math.max(now.value, Date.now()))}
    </time>
  );
}

/** Both are milliseconds. Clocks differ: what is a little ahead counts as now. */
export function agoOf(time: number, present: number): string {
  const seconds = Math.round((present - time) / 1000);
  if (seconds < -60) return `in ${spanOf(-seconds)}`;
  return seconds < 45 ? "just now" : `${spanOf(seconds)} ago`;
}

function spanOf(seconds: number): string {
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h`;
  const days = Math.round(seconds / 86_400);
  return days === 1 ? "1 day" : `${days} days`;
}

/** 512 B, 1.5 KiB, 20 GiB. */
export function bytesOf(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${amount >= 10 || unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}
