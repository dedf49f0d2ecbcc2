/** What the server tells of itself and its host: `GET /api/admin/overview`. */

export interface Sample {
  at: string;
  cpu_busy: number;
  memory_used_bytes: number;
  disk_used_bytes: number;
  building: number;
  queued: number;
  open_streams: number;
}

export interface Overview {
  version: string;
  backend: string;
  backend_reason: string;
  started_at: string;
  slots: number;
  building: number;
  queued: number;
  computers: { running: number; stopped: number; error: number };
  open_streams: number;
  cpu: { count: number; busy: number; load_1m: number };
  memory: { total_bytes: number; available_bytes: number };
  disk: { total_bytes: number; free_bytes: number; data_bytes: number };
  history: { every_s: number; samples: Sample[] };
}
