/** Streams as the server writes them: ASCII-only JSON, compact, one data line. */

import { Engine } from "../../src/log/worker/engine.ts";
import { answerTo, type Answer, type Question } from "../../src/log/worker/expression.ts";
import { FrameParser } from "../../src/log/worker/frames.ts";

export interface Event {
  ts: string;
  level: string;
  phase: string;
  source?: string;
  line: string;
  [extra: string]: unknown;
}

export function event(line: string, more: Partial<Event> = {}): Event {
  return { ts: "2026-06-08T17:00:01.007Z", level: "info", phase: "install", source: "run", line, ...more };
}

export function encoded(events: Event[], attempt = 3): string {
  return events.map((one, seq) => `id: ${attempt}-${seq}\ndata: ${ascii(ordered(one))}\n\n`).join("");
}

export function ascii(value: unknown): string {
  return JSON.stringify(value).replace(/[^\x00-\x7e]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Runs an expression, as the worker of its own does. */
export async function answer(question: Question): Promise<Answer> {
  return answerTo(question);
}

/** An engine that was fed the text in pieces, cut where `cut` says. */
export function fed(text: string, cut: (length: number) => number = () => 4096): Engine {
  const engine = new Engine(answer);
  const parser = new FrameParser(engine);
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    const size = Math.max(1, cut(bytes.length - at));
    parser.feed(bytes.slice(at, at + size));
    at += size;
  }
  return engine;
}

/** Numbers from 0 to below `most`, the same each time. */
export function numbers(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}

function ordered({ ts, level, phase, source, line, ...more }: Event): object {
  return source === undefined ? { ts, level, phase, line, ...more } : { ts, level, phase, source, line, ...more };
}
