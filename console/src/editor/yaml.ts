/** Writes a canonical document as YAML 1.2 that reads back as the same document. */

type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

// Plain where no reader could take it for anything but text; quoted in every other case.
const PLAIN = /^[A-Za-z/~_$.][A-Za-z0-9 /~_$.,+@%=;()^<>"'\\?!*&|:#{}[\]-]*$/;
const VERSION = /^\d+\.\d+\.\d+([-+][A-Za-z0-9.+-]*)?$/; // no number: two dots
const NO_PLAIN = /^(true|false|null|yes|no|on|off|y|n|~|[.]inf|[.]nan)$|: |:$| #| $|^[.][0-9]/i;
const KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const BREAKS_BLOCK = /[^\n\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/u;
const REFUSED = /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g; // that stand in a document only when escaped

export function writeYaml(document: unknown): string {
  return map(document as { [key: string]: Value }, "");
}

function map(values: { readonly [key: string]: Value }, indent: string): string {
  return Object.entries(values)
    .map(
      ([key, value], place) =>
        `${place === 0 ? "" : indent}${KEY.test(key) && !NO_PLAIN.test(key) ? key : quoted(key)}:${after(value, indent)}`,
    )
    .join("");
}

function list(values: readonly Value[], indent: string): string {
  return values.map((value) => `${indent}- ${entry(value, indent)}`).join("");
}

/** What stands behind `key:`, with its end of line. */
function after(value: Value, indent: string): string {
  if (Array.isArray(value)) return value.length === 0 ? " []\n" : `\n${list(value, `${indent}  `)}`;
  if (isMap(value)) {
    const [only, ...more] = Object.entries(value);
    if (!only) return " {}\n";
    if (only[0] === "secret" && more.length === 0) return ` {secret: ${scalar(only[1])}}\n`;
    return `\n${indent}  ${map(value, `${indent}  `)}`;
  }
  return ` ${text(value as string, indent)}\n`;
}

/** What stands behind `- `. */
function entry(value: Value, indent: string): string {
  if (Array.isArray(value)) return value.length === 0 ? "[]\n" : `\n${list(value, `${indent}  `)}`;
  if (isMap(value)) return Object.keys(value).length === 0 ? "{}\n" : map(value, `${indent}  `);
  return `${text(value as string, indent)}\n`;
}

function text(value: Value, indent: string): string {
  return typeof value === "string" && value.includes("\n") && isBlock(value) ? block(value, indent) : scalar(value);
}

function scalar(value: Value): string {
  if (typeof value !== "string") return JSON.stringify(value);
  const isPlain = VERSION.test(value) || (PLAIN.test(value) && !NO_PLAIN.test(value));
  return isPlain ? value : quoted(value);
}

function quoted(value: string): string {
  return JSON.stringify(value).replace(REFUSED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A block keeps every character but those that a reader of YAML changes or refuses. */
function isBlock(value: string): boolean {
  return !BREAKS_BLOCK.test(value) && /^[^\s]/.test(value) && !/\n{2,}$/.test(value);
}

function block(value: string, indent: string): string {
  const [mark, body] = value.endsWith("\n") ? ["|", value.slice(0, -1)] : ["|-", value];
  const lines = body.split("\n").map((line) => (line === "" ? "" : `${indent}  ${line}`));
  return `${mark}\n${lines.join("\n")}`;
}

function isMap(value: Value): value is { readonly [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
