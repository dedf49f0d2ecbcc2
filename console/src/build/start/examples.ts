/** What one can build without having written anything. */

import hello from "../../../../examples/hello.yaml?raw";
import { ApiError, request } from "../../api/client";
import type { Item } from "../../api/types";
import { publishAndBuild, startBuild } from "../api";

export interface Example {
  name: string;
  says: string;
  /** Has it built; the ref whose build page is next. */
  build: () => Promise<string>;
}

const HELLO: Example = { name: "hello", says: "A machine that can say hello. Builds in seconds.", build: buildHello };

/** The hello of Ingot's examples, and the curated templates of this server. */
export async function listExamples(signal: AbortSignal): Promise<Example[]> {
  const curated = await request<{ templates: Item[] }>("GET", "/api/templates/global", { signal });
  return [HELLO, ...curated.templates.map(exampleOf)];
}

function exampleOf(item: Item): Example {
  const { template } = item.template as { template?: { name?: string; description?: string } };
  return {
    name: template?.name ?? item.ref,
    says: template?.description ?? "",
    build: async () => (await startBuild(item.ref, {})).ref,
  };
}

/** Somebody may have published another hello: then that one is built. */
async function buildHello(): Promise<string> {
  try {
    return await publishAndBuild(hello);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "version_exists")) throw error;
    return (await startBuild("default/hello@1.0.0", {})).ref;
  }
}
