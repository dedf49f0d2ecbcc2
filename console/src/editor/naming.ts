/** Names and versions in a document's text. */

import type { Document } from "../api/types";

/** Name and version of a canonical document. */
export function nameOf(canonical: Document): { name: string; version: string } {
  const { name = "", version = "" } = (canonical["template"] ?? {}) as { name?: string; version?: string };
  return { name, version };
}

/** The same of a text that is not valid yet, as far as it can be told. */
export function guessName(text: string): { name: string; version: string } {
  const short = /^name:[ \t]*["']?([a-z0-9-]+)@([^\s"'#]+)/m.exec(text);
  if (short) return { name: short[1] ?? "", version: short[2] ?? "" };
  const section = /^template:[^\n]*(\n[ \t]+[^\n]*|\n)*/m.exec(text)?.[0] ?? "";
  const [name = "", version = ""] = ["name", "version"].map(
    (field) => new RegExp(`\\b${field}:[ \\t]*["']?([^\\s"'#,}]+)`).exec(section)?.[1],
  );
  return { name, version };
}

/** The first version above that is not taken: 1.0.0 → 1.0.1. What stands behind a dash or plus goes. */
export function nextVersion(version: string, taken: ReadonlySet<string>): string {
  const [major = "0", minor = "0", patch = "0"] = version.split(/[-+]/)[0]?.split(".") ?? [];
  let next = Number(patch) + 1;
  while (taken.has(`${major}.${minor}.${next}`)) next += 1;
  return `${major}.${minor}.${next}`;
}

/** The text with another version, in either of the forms that say it; null where neither is found. */
export function withVersion(text: string, old: string, next: string): string | null {
  const escaped = old.replace(/[.+*?^$()[\]{}|\\]/g, "\\$&");
  const forms = [
    new RegExp(
      `(^template:[^\\n]*(?:\\n[ \\t]+[^\\n]*|\\n[ \\t]*#[^\\n]*|\\n)*?\\bversion:[ \\t]*["']?)${escaped}(?![\\w.+-])`,
      "m",
    ),
    new RegExp(`(^name:[ \\t]*["']?[a-z0-9-]+@)${escaped}(?![\\w.+-])`, "m"),
  ];
  for (const form of forms) {
    if (form.test(text)) return text.replace(form, (_, before: string) => before + next);
  }
  return null;
}
