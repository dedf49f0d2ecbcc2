/** Requests to the API. The session's cookie goes along by itself; the API's types are made from its OpenAPI document. */

import type { components } from "./schema";

export type Schemas = components["schemas"];

/** An answer that is no success: `message` says what is wrong and what to do. `status` is 0 where no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly body: unknown = null,
    readonly requestId = "",
  ) {
    super(message);
  }
}

export interface RequestOptions {
  json?: unknown;
  /** A document as it was written, YAML or JSON. */
  text?: { body: string; type: string };
  query?: Record<string, string | number | boolean | undefined>;
  signal?: AbortSignal;
  /** Milliseconds until it counts as unanswered. */
  timeout?: number;
}

let signedOut: () => void = () => {};

/** What to do when the server says that the session is over. */
export function onSignedOut(then: () => void): void {
  signedOut = then;
}

/** The answer's JSON (null for 204). Raises ApiError. */
export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const response = await answer(method, path, options);
  return response.status === 204 ? (null as T) : ((await response.json()) as T);
}

/** The answer itself, once it is a success. Raises ApiError. */
export async function answer(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
  const deadline = AbortSignal.timeout(options.timeout ?? 30_000);
  const init: RequestInit = {
    method,
    credentials: "same-origin",
    signal: options.signal ? AbortSignal.any([options.signal, deadline]) : deadline,
  };
  if (options.json !== undefined) {
    init.body = JSON.stringify(options.json);
    init.headers = { "Content-Type": "application/json" };
  } else if (options.text) {
    init.body = options.text.body;
    init.headers = { "Content-Type": options.text.type };
  }
  let response: Response;
  try {
    response = await fetch(address(path, options.query), init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const why = deadline.aborted ? "does not answer" : "cannot be reached";
    throw new ApiError(0, "unreachable", `The server ${why}. Is it running, and is the network up?`);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** `namespace/name@version` → `/api/templates/namespace/name/version`. */
export function templatePath(ref: string): string {
  return `/api/templates/${refPath(ref)}`;
}

/** `namespace/name@version` → `namespace/name/version`, each percent-encoded. */
export function refPath(ref: string): string {
  const [name = "", version = ""] = ref.split("@");
  return [...name.split("/"), version].map(encodeURIComponent).join("/");
}

function address(path: string, query: RequestOptions["query"] = {}): string {
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined);
  if (wanted.length === 0) return path;
  return `${path}?${new URLSearchParams(wanted.map(([key, value]) => [key, String(value)]))}`;
}

async function failure(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const { error, code, request_id } = (body ?? {}) as Record<string, string | undefined>;
  if (response.status === 401 && !response.url.endsWith("/api/session")) signedOut();
  return new ApiError(
    response.status,
    code ?? "unexpected",
    error ?? `The server answered ${response.status} ${response.statusText}.`,
    body,
    request_id ?? "",
  );
}
