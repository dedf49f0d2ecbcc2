import { request } from "../api/client";
import type { Finding } from "../api/types";
import { Copy } from "../ui/copy";
import { usePoll } from "../ui/poll";
import { Failed, Loading } from "../ui/states";

/** What `ingot doctor` finds on this host, and how to mend it. */
export function Findings() {
  const { value, error, reload } = usePoll(
    (signal) => request<{ findings: Finding[] }>("GET", "/api/admin/host", { signal, timeout: 60_000 }),
    null,
  );
  if (!value) return error ? <Failed error={error} retry={reload} /> : <Loading what="what the host has" />;
  const sorted = [...value.findings].sort((one, other) => Number(one.ok) - Number(other.ok));
  return (
    <>
      <ul class="findings">
        {sorted.map((finding) => (
          <li key={finding.name}>
            <span class={`badge ${finding.ok ? "ok" : finding.needed ? "bad" : "warn"}`}>
              {finding.ok ? "fine" : finding.needed ? "missing" : "goes without"}
            </span>
            <span>
              <strong>{finding.name}</strong> <span class="soft">{finding.detail}</span>
            </span>
            {finding.remedy && !finding.ok && (
              <span class="row remedy">
                <code>{finding.remedy}</code> <Copy text={finding.remedy} what="the remedy" />
              </span>
            )}
          </li>
        ))}
      </ul>
      <p>
        <button class="button" onClick={reload}>
          Look again
        </button>
      </p>
    </>
  );
}
