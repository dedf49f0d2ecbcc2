import { bytesOf } from "../ui/time";
import type { AttemptDetail } from "./api";
import { SidePart } from "./side-part";

/** What of a manifest is shown; all of it may be missing in one of another release. */
interface Manifest {
  golden?: string;
  size_bytes?: number;
  archived_bytes?: number;
  base?: { date?: string };
  host?: { backend?: string; architecture?: string };
  machine?: { cpu?: number; memory_mb?: number; disk_mb?: number };
  packages?: Record<string, Record<string, string>>;
  layers?: { key: string; title: string; size_bytes: number }[];
}

/** What is in the golden: sizes, packages, layers. */
export function ManifestPart({ detail }: { detail: AttemptDetail }) {
  const manifest = detail.manifest as Manifest | null;
  if (manifest === null) return null;
  const { machine, host, layers = [] } = manifest;
  const managers = Object.entries(manifest.packages ?? {}).filter(([, found]) => Object.keys(found).length > 0);
  return (
    <SidePart title="Snapshot" note={manifest.archived_bytes ? bytesOf(manifest.archived_bytes) : undefined}>
      <dl class="facts">
        <Fact name="Golden" value={manifest.golden?.slice(0, 12)} />
        <Fact name="Content" value={detail.digest.slice(0, 12)} />
        <Fact name="Files" value={manifest.size_bytes === undefined ? undefined : bytesOf(manifest.size_bytes)} />
        <Fact name="Archived" value={manifest.archived_bytes ? bytesOf(manifest.archived_bytes) : undefined} />
        <Fact name="Machine" value={machine && `${machine.cpu} CPU, ${bytesOf((machine.memory_mb ?? 0) * 2 ** 20)}`} />
        <Fact name="Made by" value={host && `${host.backend}, ${host.architecture}`} />
        <Fact name="Base of" value={manifest.base?.date?.slice(0, 10)} />
      </dl>
      {managers.map(([manager, found]) => (
        <details key={manager} class="packages">
          <summary>
            {Object.keys(found).length} {manager} packages
          </summary>
          <ul class="mono">
            {Object.entries(found).map(([name, version]) => (
              <li key={name}>
                {name} <span class="soft">{version}</span>
              </li>
            ))}
          </ul>
        </details>
      ))}
      <details class="packages">
        <summary>{layers.length} layers</summary>
        <ul>
          {layers.map((layer) => (
            <li key={layer.key} title={layer.key}>
              {layer.title} <span class="soft">{bytesOf(layer.size_bytes)}</span>
            </li>
          ))}
        </ul>
      </details>
    </SidePart>
  );
}

function Fact({ name, value }: { name: string; value: string | undefined }) {
  if (!value) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}
