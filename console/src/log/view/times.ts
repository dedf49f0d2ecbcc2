/** Times as they stand beside lines. Pure. */

/** `+1:02.345`, since the log's beginning. */
export function relativeTime(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const rest = (seconds % 60).toFixed(3).padStart(6, "0");
  return hours > 0 ? `+${hours}:${two(minutes % 60)}:${rest}` : `+${minutes}:${rest}`;
}

/** `17:00:01.007`, where the reader is. */
export function absoluteTime(ms: number): string {
  const at = new Date(ms);
  const thousandths = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${thousandths}`;
}

export function isoTime(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : "";
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
