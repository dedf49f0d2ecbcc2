/** What a person can have done to a build, one thing at a time: what is being done, and how the last one failed. */

import { signal, type Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { ApiError } from "../api/client";
import { cancelBuild, launchComputer, startBuild, type BuildFlags } from "./api";

export type Busy = "" | "cancelling" | "building" | "launching";

export interface Then {
  /** A new attempt is there, or the old one is about to end. */
  changed: () => void;
  began: () => void;
  launched: (computer: string) => void;
}

export class Work {
  readonly busy: Signal<Busy> = signal<Busy>("");
  readonly problem: Signal<unknown> = signal<unknown>(null);

  constructor(
    readonly ref: string,
    public then: Then,
  ) {}

  /** Stays `cancelling` until the log has its end: see `settle`. */
  cancel = (): Promise<void> =>
    this.#do("cancelling", async () => {
      await this.#end();
      this.then.changed();
    });

  /** `first`: a build is under way and ends first. The server takes a new one as soon as it knows of the cancel. */
  build = (flags: BuildFlags, first = false): Promise<void> =>
    this.#do("building", async () => {
      if (first) await this.#end();
      await startBuild(this.ref, flags);
      this.busy.value = "";
      this.then.began();
    });

  launch = (): Promise<void> => this.#do("launching", async () => this.then.launched(await launchComputer(this.ref)));

  /** The attempt is over: nothing is being cancelled any more. */
  settle = (): void => {
    if (this.busy.value === "cancelling") this.busy.value = "";
  };

  async #end(): Promise<void> {
    try {
      await cancelBuild(this.ref);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404 && isIdle(error.body))) throw error;
      this.settle(); // it ended by itself meanwhile
    }
  }

  async #do(what: Busy, work: () => Promise<void>): Promise<void> {
    if (this.busy.value !== "") return;
    this.busy.value = what;
    this.problem.value = null;
    try {
      await work();
    } catch (error) {
      this.busy.value = "";
      this.problem.value = error;
    }
  }
}

function isIdle(body: unknown): boolean {
  return (body as { status?: string } | null)?.status === "idle";
}

/** The same work for as long as the page is of this ref. */
export function useWork(ref: string, then: Then): Work {
  const work = useMemo(() => new Work(ref, then), [ref]);
  work.then = then;
  return work;
}
