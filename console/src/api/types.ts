/** Shapes that several pages use, by short names. */

import type { Schemas } from "./client";

export type Build = Schemas["BuildObject"];
export type Computer = Schemas["ComputerObject"];
export type Problem = Pick<Schemas["ProblemEntry"], "field" | "code" | "message"> &
  Partial<Pick<Schemas["ProblemEntry"], "hint" | "line" | "column">>;
export type PlanStep = Schemas["Plan"]["steps"][number];
export type Key = Schemas["Key"];
export type Secret = Schemas["Secret"];
export type Finding = Schemas["Finding"];
export type Document = Record<string, unknown>;

/** A template's version; `build` where it was asked for. */
export type Item = Schemas["Item"] & { build?: Build };

export interface Ref {
  namespace: string;
  name: string;
  version: string;
}

/** `namespace/name@version` in its parts. */
export function partsOf(ref: string): Ref {
  const at = ref.lastIndexOf("@");
  const slash = ref.indexOf("/");
  return { namespace: ref.slice(0, slash), name: ref.slice(slash + 1, at), version: ref.slice(at + 1) };
}

/** The namespace of the templates that come with the server. */
export const CURATED = "system";
