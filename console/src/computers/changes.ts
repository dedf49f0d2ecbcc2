/** What one can do to a computer, and when. */

import { request } from "../api/client";
import type { Computer } from "../api/types";

export type Change = "start" | "stop" | "restart";

/** Asks for the change. The server answers when it is done, or after two seconds with what the computer is by then. */
export function change(computer: Computer, what: Change): Promise<Computer> {
  return request<Computer>("POST", `${computerPath(computer.id)}/${what}`);
}

export function clone(computer: Computer, name: string): Promise<Computer> {
  return request<Computer>("POST", `${computerPath(computer.id)}/clone`, { json: { name } });
}

export function remove(computer: Computer): Promise<unknown> {
  return request("DELETE", computerPath(computer.id));
}

export function computerPath(id: string): string {
  return `/api/computers/${encodeURIComponent(id)}`;
}

/** Why a change cannot be asked for now; false where it can. */
export function barred(computer: Computer, what: Change): string | false {
  const { status } = computer;
  if (!["running", "stopped", "error"].includes(status)) return `It is ${status}: wait until that is done.`;
  if (what === "start" && status === "running") return "It runs already.";
  if (what === "stop" && status === "stopped") return "It is stopped already.";
  if (what === "restart" && status !== "running") return "It does not run.";
  return false;
}
