import { effect, signal, type Signal } from "@preact/signals";

/** A preference that the browser keeps. */
export function kept<T extends string>(name: string, values: readonly [T, ...T[]]): Signal<T> {
  const key = `ingot-log-${name}`;
  const found = localStorage.getItem(key) as T | null;
  const made = signal<T>(found !== null && values.includes(found) ? found : values[0]);
  effect(() => localStorage.setItem(key, made.value));
  return made;
}
