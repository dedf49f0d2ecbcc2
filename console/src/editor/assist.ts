/** Completion and hover from the schema, for CodeMirror. */

import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import type { EditorState, Extension } from "@codemirror/state";
import { EditorView, hoverTooltip, type Tooltip } from "@codemirror/view";
import { placeAt, type Place } from "./place";
import { keysOf, limitWords, schemasAt, typeWords, valuesOf, type Schema } from "./schema";

const WORD = /[A-Za-z0-9_.-]*$/;

export function assist(schema: Schema): Extension {
  return [
    autocompletion({ override: [(context) => complete(schema, context)], activateOnTyping: true, icons: false }),
    hoverTooltip((view, position) => hover(schema, view, position), { hoverTime: 250 }),
  ];
}

function complete(schema: Schema, context: CompletionContext): CompletionResult | null {
  const place = at(context.state, context.pos);
  if (!place || (!context.explicit && place.prefix === "" && place.kind === "key" && place.indent >= 0)) return null;
  const word = WORD.exec(place.prefix)?.[0] ?? "";
  if (place.prefix.trimStart() !== word) return null; // inside of a text
  const options = place.kind === "key" ? keyOptions(schema, place) : valueOptions(schema, place);
  return options.length > 0 ? { from: context.pos - word.length, options, validFor: /^[A-Za-z0-9_.-]*$/ } : null;
}

function keyOptions(schema: Schema, place: Place): Completion[] {
  const here = schemasAt(schema, place.path);
  const keys = [...keysOf(schema, here)].filter(([key]) => !place.taken.has(key));
  if (keys.length === 0) return valueOptions(schema, place); // an item of a list of words
  return keys.map(([key, { schemas, isRequired }]) => ({
    label: key,
    detail: isRequired ? `${typeWords(schemas)}, required` : typeWords(schemas),
    info: () => explanation(key, schemas),
    apply: key + opening(schemas, place.indent),
    boost: isRequired ? 2 : 0,
  }));
}

function valueOptions(schema: Schema, place: Place): Completion[] {
  const here = schemasAt(schema, place.path);
  const fallback = here.find((entry) => entry.default !== undefined)?.default;
  return valuesOf(here).map((value) => {
    const label = isNumberLike(value) ? JSON.stringify(value) : String(value);
    return value === fallback ? { label, detail: "default" } : { label };
  });
}

/** What follows a key that is chosen: room for its value, or the start of its list or object. */
function opening(schemas: readonly Schema[], indent: number): string {
  if (indent < 0) return ": ";
  const inner = `\n${" ".repeat(indent + 2)}`;
  const types = schemas.map((schema) => schema.type);
  if (types[0] === "array") return `:${inner}- `;
  return types[0] === "object" ? `:${inner}` : ": ";
}

function hover(schema: Schema, view: EditorView, position: number): Tooltip | null {
  const line = view.state.doc.lineAt(position);
  const column = position - line.from;
  const start = line.text.slice(0, column).search(/[A-Za-z0-9_-]*$/);
  const end = column + line.text.slice(column).search(/[^A-Za-z0-9_-]|$/);
  const word = line.text.slice(start, end);
  const place = word && at(view.state, line.from + end);
  if (!place) return null;
  const isKey = /^["']?\s*:(\s|$)/.test(line.text.slice(end)) && place.kind === "key";
  const path = isKey ? [...place.path, word] : place.path;
  const schemas = schemasAt(schema, path);
  if (schemas.length === 0 || (!isKey && place.kind === "key")) return null;
  const name = String(path.findLast((step) => typeof step === "string") ?? "");
  return {
    pos: line.from + start,
    end: line.from + end,
    above: true,
    create: () => ({ dom: explanation(name, schemas) }),
  };
}

function explanation(name: string, schemas: readonly Schema[]): HTMLElement {
  const box = document.createElement("div");
  box.className = "cm-explanation";
  const add = (tag: string, text: string) => {
    const element = document.createElement(tag);
    element.textContent = text;
    box.append(element);
  };
  add("strong", name);
  add("span", ` ${typeWords(schemas)}`);
  const told = [...new Set(schemas.map((schema) => schema.description).filter((text) => text !== undefined))];
  for (const text of [...told, ...limitWords(schemas)]) add("p", text);
  return box;
}

function at(state: EditorState, position: number): Place | null {
  const line = state.doc.lineAt(position);
  return placeAt(state.doc.toString().split("\n"), line.number - 1, position - line.from);
}

function isNumberLike(value: unknown): boolean {
  return typeof value === "string" && /^[0-9.]+$/.test(value);
}
