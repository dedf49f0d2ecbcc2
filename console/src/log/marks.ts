/** Where an expression is in lines that are drawn. The worker tells it: an expression that runs wild would hold up the
 * page. */

import { signal } from "@preact/signals";
import type { Places } from "./messages";
import type { Finder } from "./view/pieces.ts";

const MOST = 6000;

export class Marks {
  /** Changes when some came. */
  readonly version = signal(0);
  #finders = new Map<number, Finder>();
  #asked = new Set<number>();
  #ask: (lines: Uint32Array) => void;

  constructor(ask: (lines: Uint32Array) => void) {
    this.#ask = ask;
  }

  get(line: number): Finder | null {
    return this.#finders.get(line) ?? null;
  }

  /** Asks for those that are not here. */
  want(lines: number[]): void {
    const missing = lines.filter((line) => !this.#asked.has(line));
    if (missing.length === 0) return;
    if (this.#asked.size > MOST) this.clear();
    for (const line of missing) this.#asked.add(line);
    this.#ask(Uint32Array.from(missing));
  }

  take({ lines, places }: Places): void {
    places.forEach((found, place) => this.#finders.set(lines[place]!, finderFor(found)));
    this.version.value++;
  }

  clear(): void {
    this.#finders.clear();
    this.#asked.clear();
  }
}

/** Of a line that may be shown cut short. */
function finderFor(found: Uint32Array): Finder {
  return (text) => {
    const marks: [number, number][] = [];
    for (let at = 0; at < found.length && found[at]! < text.length; at += 2) {
      marks.push([found[at]!, Math.min(found[at + 1]!, text.length)]);
    }
    return marks;
  };
}
