/** Runs expressions in a worker of their own. One that runs wild answers nobody: its worker is ended and made anew. */

import type { Answer, Question } from "./expression.ts";

const DEADLINE_MS = 5000; // a busy host makes harmless ones wait, too
const HURRY_MS = 200;
const LOAD_MS = 20_000;
const LONGEST_SHOWN = 60;

export class ExpressionRunner {
  #worker: Worker | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #running: Wait | null = null;

  /** Questions have their turn one by one. Raises an Error that tells a reader why there is no answer. */
  ask(question: Question): Promise<Answer> {
    const answer = this.#last.then(() => this.#ask(question));
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Nobody waits any more for what runs now. */
  hurry(): void {
    this.#running?.endIn(HURRY_MS);
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  async #ask(question: Question): Promise<Answer> {
    try {
      const worker = this.#worker ?? (await this.#begin());
      this.#running = new Wait(worker, DEADLINE_MS, tooSlow(question.source));
      worker.postMessage(question, [question.text.buffer]);
      return await this.#running.message;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      this.#running = null;
    }
  }

  /** It counts as slow only once it is loaded. */
  async #begin(): Promise<Worker> {
    this.#worker = new Worker(new URL("./expression-worker.ts", import.meta.url), {
      type: "module",
      name: "expressions",
    });
    await new Wait(this.#worker, LOAD_MS, "What runs expressions could not be loaded from the server.").message;
    return this.#worker;
  }
}

/** For a worker's next message. */
class Wait {
  readonly message: Promise<Answer>;
  #fail!: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(worker: Worker, milliseconds: number, late: string) {
    this.message = new Promise<Answer>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
      worker.onerror = (event) => (event.preventDefault(), reject(new Error(event.message || late)));
      this.#fail = () => reject(new Error(late));
    }).finally(() => clearTimeout(this.#timer));
    this.endIn(milliseconds);
  }

  endIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#fail, milliseconds);
  }
}

function tooSlow(source: string): string {
  const shown = source.length > LONGEST_SHOWN ? `${source.slice(0, LONGEST_SHOWN)}…` : source;
  return (
    `Stopped: ${shown} takes more than ${DEADLINE_MS / 1000} s on a few lines. ` +
    "Write it without a repetition inside a repetition, or search for plain text."
  );
}
