/** Where in a document a cursor stands, as a path of keys and indexes. Reads lines, not a syntax tree: what is being
 * typed is seldom whole, and what stands above it always is. Aware of block style, block texts and flow style in a line. */

export type Path = readonly (string | number)[];

export interface Place {
  /** Of the object that a key is typed in, or of the value that is typed. */
  path: Path;
  kind: "key" | "value";
  /** What is typed of the word so far. */
  prefix: string;
  /** Spaces before the line's content: where further keys of a new object stand, two less. */
  indent: number;
  /** Keys that this object has already. */
  taken: ReadonlySet<string>;
}

interface Level {
  column: number;
  key: string | number;
}

interface Line {
  column: number;
  dashes: number[];
  key: string | null;
  value: string;
}

const KEY = /^("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#&*!|>%@`"'[\]{},:][^#[\]{},]*?)\s*:(?=\s|$)/;
const BLOCK = /^[|>][-+0-9]*\s*(#.*)?$/;

/** The place of a cursor: `line` counts from 0, `column` in characters. Null inside of block texts and comments. */
export function placeAt(lines: readonly string[], line: number, column: number): Place | null {
  const levels: Level[] = [];
  const keys = new Map<string, Set<string>>();
  let found: Omit<Place, "taken"> | null = null;
  let block = -1;
  for (const [number, text] of lines.entries()) {
    const indent = text.search(/\S|$/);
    const isBlank = indent === text.length;
    if (number === line) {
      const isInBlock = block >= 0 && (isBlank ? column > block : indent > block);
      if (isInBlock || text.slice(0, column).trimStart().startsWith("#")) return null;
      found = locate(text, column, [...levels]);
    }
    if (isBlank || (block >= 0 && indent > block)) continue;
    block = -1;
    if (text[indent] === "#") continue;
    const read = readLine(text);
    enter(levels, read);
    if (read.key !== null) note(keys, levels.slice(0, -1), read.key, number === line);
    if (BLOCK.test(read.value)) block = read.key !== null ? read.column : (read.dashes.at(-1) ?? read.column);
  }
  return found && { ...found, taken: keys.get(JSON.stringify(found.path)) ?? new Set() };
}

function locate(text: string, column: number, levels: Level[]): Omit<Place, "taken"> {
  const before = text.slice(0, column);
  const read = readLine(before);
  const indent = read.column;
  enter(levels, { ...read, key: null });
  while (levels.length > 0 && read.dashes.length === 0 && (levels.at(-1)?.column ?? 0) >= read.column) levels.pop();
  const path = levels.map((level) => level.key);
  if (read.key === null) return flow(read.value, { path, kind: "key", prefix: read.value, indent });
  const inner = { path: [...path, read.key], kind: "value" as const, prefix: read.value, indent };
  return flow(read.value, inner);
}

function readLine(text: string): Line {
  let column = text.search(/\S|$/);
  const dashes: number[] = [];
  while (/^-(\s|$)/.test(text.slice(column))) {
    dashes.push(column);
    column += 1 + text.slice(column + 1).search(/\S|$/);
  }
  const content = text.slice(column);
  const key = KEY.exec(content);
  if (!key?.[1]) return { column, dashes, key: null, value: content };
  return { column, dashes, key: bare(key[1]), value: content.slice(key[0].length).trimStart() };
}

/** Leaves the levels that the line ends and enters those that it opens. */
function enter(levels: Level[], { column, dashes, key }: Line): void {
  for (const dash of dashes) {
    while ((levels.at(-1)?.column ?? -1) > dash) levels.pop();
    const top = levels.at(-1);
    if (top && top.column === dash && typeof top.key === "number") top.key += 1;
    else levels.push({ column: dash, key: 0 });
  }
  if (key === null) return;
  const bound = dashes.at(-1) ?? -1;
  while (levels.length > 0 && (levels.at(-1)?.column ?? 0) >= column && (levels.at(-1)?.column ?? 0) > bound)
    levels.pop();
  levels.push({ column, key });
}

/** Inside of `{…}` and `[…]` that begin on this line; `outer` where there are none. */
function flow(text: string, outer: Omit<Place, "taken">): Omit<Place, "taken"> {
  if (!/^[{[]/.test(text)) return outer;
  const open: { key: string | number; isMap: boolean; hasKey: boolean }[] = [];
  let word = "";
  for (const char of text) {
    const top = open.at(-1);
    if (char === "{" || char === "[") {
      open.push({ key: char === "[" ? 0 : "", isMap: char === "{", hasKey: char === "[" });
      word = "";
    } else if (char === "}" || char === "]") {
      open.pop();
      word = "";
    } else if (char === "," && top) {
      if (top.isMap) top.hasKey = false;
      else top.key = (top.key as number) + 1;
      word = "";
    } else if (char === ":" && top?.isMap && !top.hasKey) {
      top.key = bare(word.trim());
      top.hasKey = true;
      word = "";
    } else word += char;
  }
  const top = open.at(-1);
  if (!top) return outer;
  const steps = open.filter((level) => level.hasKey).map((level) => level.key);
  const isKey = top.isMap && !top.hasKey;
  return { path: [...outer.path, ...steps], kind: isKey ? "key" : "value", prefix: word.trimStart(), indent: -1 };
}

/** The keys of each object by its path; the one being typed is not taken. */
function note(keys: Map<string, Set<string>>, parents: readonly Level[], key: string, isHere: boolean): void {
  if (isHere) return;
  const path = JSON.stringify(parents.map((level) => level.key));
  keys.set(path, (keys.get(path) ?? new Set()).add(key));
}

function bare(key: string): string {
  return /^["']/.test(key) ? key.slice(1, -1) : key;
}
