/** The sections that lines belong to: each phase begins one, each step one, and what a phase prints behind a step.
 * After a failed step its section goes on, so that the end stands below the output that explains it. */

import type { Mark, Phase, Result, Section } from "../types.ts";
import type { StepLine } from "./step-line.ts";

const MOST = 60_000; // sections have two bytes; a log with more puts the rest into its last one
const MARKS: Record<Result, Mark> = { ready: "done", failed: "failed", cancelled: "cancelled", timed_out: "timed_out" };

export class SectionBook {
  readonly all: Section[] = [];
  /** The first section that changed since `settle`. */
  changed = 0;

  /** The section that the next line belongs to; before `announce` of that line. */
  enter(phase: Phase, time: number): number {
    const last = this.all.at(-1);
    if (last === undefined || (last.phase !== phase && this.all.length < MOST)) {
      this.#endAll(time, "done");
      return this.#begin({ phase, step: null, mark: "running", began: time });
    }
    if (last.ended !== null && last.step !== null && last.mark !== "failed" && this.all.length < MOST) {
      return this.#begin({ phase, step: null, mark: "running", began: time });
    }
    return this.all.length - 1;
  }

  /** A step begins or ends with a line; the section of that line. */
  announce(phase: Phase, line: StepLine, time: number): number {
    let last = this.all.at(-1);
    if (last === undefined || last.phase !== phase) {
      this.enter(phase, time);
      last = this.all.at(-1)!;
    }
    if (last.step?.index !== line.index && this.all.length < MOST) {
      this.#end(this.all.length - 1, time, "done");
      const { index, total, title, reason } = line;
      this.#begin({ phase, step: { index, total, title, reason }, mark: "running", began: time });
      last = this.all.at(-1)!;
    }
    if (line.state !== "running") this.#end(this.all.length - 1, time, line.state);
    if (line.state === "failed" && last.step) last.step = { ...last.step, reason: line.reason };
    return this.all.length - 1;
  }

  /** A line is in the last section. `isOutput`: a command printed it. */
  take(line: number, isWarning: boolean, isOutput: boolean): void {
    const index = this.all.length - 1;
    const section = this.all[index]!;
    if (section.first < 0) section.first = line;
    section.last = line;
    if (isOutput) section.output = line;
    if (isWarning) section.warnings++;
    this.#touch(index);
  }

  /** The attempt is over; its last line is in the last section already. */
  finish(result: Result, time: number): void {
    this.#endAll(time, MARKS[result]);
    const last = this.all.at(-1);
    if (last !== undefined && last.mark !== "failed") last.mark = MARKS[result];
  }

  /** Everything that stopped with the phase that it stopped in: a cancelled build's running step is cancelled. */
  stop(result: Result, time: number): void {
    if (result !== "ready") this.#endAll(time, MARKS[result]);
  }

  settle(): { from: number; items: Section[] } {
    const from = this.changed;
    this.changed = this.all.length;
    return { from, items: this.all.slice(from) };
  }

  #begin(section: Pick<Section, "phase" | "step" | "mark" | "began">): number {
    this.all.push({ ...section, ended: null, first: -1, last: -1, output: -1, warnings: 0 });
    this.#touch(this.all.length - 1);
    return this.all.length - 1;
  }

  #end(index: number, time: number, mark: Mark): void {
    const section = this.all[index]!;
    if (section.ended !== null) return;
    section.ended = time;
    section.mark = mark;
    this.#touch(index);
  }

  #endAll(time: number, mark: Mark): void {
    const index = this.all.length - 1;
    if (index >= 0) this.#end(index, time, mark);
  }

  #touch(index: number): void {
    if (index < this.changed) this.changed = index;
  }
}
