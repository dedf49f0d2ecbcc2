/** Looks things up in the documents' JSON Schema (draft 2020-12): `$ref` into `$defs`, properties, patterns, items and
 * alternatives, which is all that it uses to say what may stand where. Whether a document is valid the server tells. */

import { request } from "../api/client";
import type { Path } from "./place";

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  "x-ingot-extension"?: boolean;
}

let loading: Promise<Schema> | null = null;

/** The server's schema, asked for once; again if that failed. */
export function loadSchema(): Promise<Schema> {
  loading ??= request<Schema>("GET", "/api/template-schema").catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** Everything that may stand at a path, alternatives side by side. Empty where nothing may. */
export function schemasAt(root: Schema, path: Path): Schema[] {
  let here = alternatives(root, root);
  for (const step of path) here = here.flatMap((schema) => childOf(root, schema, step));
  return here;
}

/** A schema as itself, or as what it is one of. What a reference stands beside (a default) stays. */
function alternatives(root: Schema, schema: Schema): Schema[] {
  const { $ref, ...beside } = schema;
  const named = $ref ? root.$defs?.[$ref.replace("#/$defs/", "")] : undefined;
  const whole = named ? { ...named, ...beside } : schema;
  const options = whole.anyOf ?? whole.oneOf?.filter((option) => option.type ?? option.$ref ?? option.properties);
  if (!options || options.length === 0) return [whole];
  const { anyOf, oneOf, ...shared } = whole;
  return options.flatMap((option) => alternatives(root, option).map((found) => ({ ...shared, ...found })));
}

function childOf(root: Schema, schema: Schema, step: string | number): Schema[] {
  if (typeof step === "number") return schema.items ? alternatives(root, schema.items) : [];
  const own = schema.properties?.[step];
  const matching = Object.entries(schema.patternProperties ?? {}).find(([pattern]) => new RegExp(pattern).test(step));
  const rest = typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
  const child = own ?? matching?.[1] ?? rest;
  return child ? alternatives(root, child) : [];
}

/** The keys that an object may have, each with what it may hold. */
export function keysOf(
  root: Schema,
  schemas: readonly Schema[],
): Map<string, { schemas: Schema[]; isRequired: boolean }> {
  const keys = new Map<string, { schemas: Schema[]; isRequired: boolean }>();
  for (const schema of schemas) {
    for (const [key, child] of Object.entries(schema.properties ?? {})) {
      keys.set(key, { schemas: alternatives(root, child), isRequired: schema.required?.includes(key) ?? false });
    }
  }
  return keys;
}

/** The values that can be told one by one. */
export function valuesOf(schemas: readonly Schema[]): unknown[] {
  const values = schemas.flatMap((schema) => {
    if (schema.const !== undefined) return [schema.const];
    if (schema.enum) return schema.enum;
    if (schema.type === "boolean") return [true, false];
    return ["string", "number", undefined].includes(typeof schema.default) && schema.default ? [schema.default] : [];
  });
  return [...new Set(values)];
}

/** What may stand there in a few words: `list of text`, `whole number`. */
export function typeWords(schemas: readonly Schema[]): string {
  const words = schemas.map((schema) => {
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return "one of a set";
    const names: Record<string, string> = {
      string: "text",
      integer: "whole number",
      boolean: "true or false",
      array: "list",
    };
    return names[schema.type ?? ""] ?? schema.type ?? "anything";
  });
  return [...new Set(words)].join(" or ");
}

/** Limits and the default, as sentences without ends. */
export function limitWords(schemas: readonly Schema[]): string[] {
  const words = schemas.flatMap((schema) => [
    schema.enum && `One of: ${schema.enum.map(String).join(", ")}`,
    schema.minimum !== undefined && schema.maximum !== undefined && `From ${schema.minimum} to ${schema.maximum}`,
    schema.maxItems !== undefined && `At most ${schema.maxItems}`,
    isPlain(schema.default) && `Default: ${String(schema.default)}`,
    schema["x-ingot-extension"] && "Ingot's own: other readers of orgo.ai/v1 do not know it",
  ]);
  return [...new Set(words.filter((word) => typeof word === "string"))];
}

function isPlain(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || typeof value === "number" || typeof value === "boolean";
}
