import type { Section } from "./types.ts";

/** The line that says best why a build ended badly: the last one that what failed printed, else the end itself. Pure. */
export function failingLine(sections: readonly Section[], lines: number): number {
  const stopped = sections.filter((section) => section.mark !== "done" && section.mark !== "cached");
  return stopped.findLast((section) => section.output >= 0)?.output ?? stopped.at(-1)?.last ?? lines - 1;
}
