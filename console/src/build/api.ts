/** What the build pages ask of the API, by name. */

import { answer, request, templatePath, type Schemas } from "../api/client";
import type { Build, Computer, Item } from "../api/types";

export type Attempt = Schemas["Attempt"];
export type AttemptDetail = Schemas["AttemptDetail"];
export type AttemptStep = Schemas["AttemptStep"];
export type Failure = Schemas["BuildFailure"];
export type FailureCode = Schemas["FailureCode"];
export type Held = Schemas["HeldMachine"];

/** How a build is asked for; `keep_on_failure` in seconds. */
export interface BuildFlags {
  force?: boolean;
  no_cache?: boolean;
  refresh?: boolean;
  keep_on_failure?: number;
}

export function getBuild(ref: string, signal?: AbortSignal): Promise<Build> {
  return request("GET", `${templatePath(ref)}/build`, given(signal));
}

export async function getAttempts(ref: string, signal?: AbortSignal): Promise<Attempt[]> {
  return (await request<{ builds: Attempt[] }>("GET", `${templatePath(ref)}/builds`, given(signal))).builds;
}

export function getAttempt(ref: string, attempt: number, signal?: AbortSignal): Promise<AttemptDetail> {
  return request("GET", `${templatePath(ref)}/builds/${attempt}`, given(signal));
}

export function getHeld(ref: string, signal?: AbortSignal): Promise<Held> {
  return request("GET", `${templatePath(ref)}/build/machine`, given(signal));
}

export function endHeld(ref: string): Promise<unknown> {
  return request("DELETE", `${templatePath(ref)}/build/machine`);
}

export function startBuild(ref: string, flags: BuildFlags): Promise<Build> {
  return request("POST", `${templatePath(ref)}/build`, { query: { ...flags } });
}

/** Ends what builds as `ref`. Raises ApiError 404 when nothing does. */
export function cancelBuild(ref: string): Promise<unknown> {
  return request("DELETE", `${templatePath(ref)}/build`);
}

/** Makes a computer of a ready template; its id. */
export async function launchComputer(ref: string): Promise<string> {
  return (await request<Computer>("POST", "/api/computers", { json: { template_ref: ref } })).id;
}

/** Publishes a document and starts its build; its ref. A document that is there already is only built. */
export async function publishAndBuild(yaml: string): Promise<string> {
  const text = { body: yaml, type: "application/yaml" };
  const published = await request<Schemas["Published"]>("POST", "/api/templates", { text });
  await startBuild(published.ref, {});
  return published.ref;
}

export async function listTemplates(signal?: AbortSignal): Promise<Item[]> {
  return (await request<{ templates: Item[] }>("GET", "/api/templates", given(signal))).templates;
}

/** What is under way, oldest first, and what ended last, newest first. `clock`: how far the server's clock is ahead of
 * ours, in milliseconds; its `Date` has whole seconds. */
export interface Overview {
  active: Attempt[];
  ended: Attempt[];
  clock: number;
}

export async function getOverview(ended: number, signal?: AbortSignal): Promise<Overview> {
  const response = await answer("GET", "/api/builds", { query: { ended }, ...given(signal) });
  const date = Date.parse(response.headers.get("Date") ?? "");
  const builds = ((await response.json()) as { builds: Attempt[] }).builds;
  return {
    active: builds.filter((build) => build.finished_at === null),
    ended: builds.filter((build) => build.finished_at !== null),
    clock: Number.isNaN(date) ? 0 : date + 500 - Date.now(),
  };
}

function given(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
