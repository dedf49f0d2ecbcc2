/** What the server tells of itself and its host: `GET /api/admin/overview`. */

import type { Schemas } from "../api/client";

export type Overview = Schemas["Overview"];
export type Sample = Schemas["HostSample"];
