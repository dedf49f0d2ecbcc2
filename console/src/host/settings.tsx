import { request } from "../api/client";
import { usePoll } from "../ui/poll";
import { Failed, Loading } from "../ui/states";
import { Table } from "../ui/table";

type Settings = Record<string, { value: unknown; source: string }>;

/** What the server was started with, and where each setting comes from. Secrets are hidden by the server. */
export function Settings() {
  const { value, error, reload } = usePoll(
    (signal) => request<{ settings: Settings }>("GET", "/api/admin/settings", { signal }),
    null,
  );
  if (!value) return error ? <Failed error={error} retry={reload} /> : <Loading what="the settings" />;
  return (
    <Table
      caption="Settings"
      rows={Object.entries(value.settings).sort(byWhetherSet)}
      keyOf={([name]) => name}
      columns={[
        { label: "Setting", cell: ([name]) => <code>{name}</code> },
        { label: "Value", cell: ([, setting]) => <code>{shown(setting.value)}</code> },
        {
          label: "From",
          cell: ([, { source }]) => (source === "default" ? <span class="soft">default</span> : source),
        },
      ]}
    />
  );
}

type Entry = [string, { value: unknown; source: string }];

function byWhetherSet([name, one]: Entry, [otherName, other]: Entry): number {
  return Number(one.source === "default") - Number(other.source === "default") || name.localeCompare(otherName);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return value === null || value === "" ? "none" : String(value);
}
