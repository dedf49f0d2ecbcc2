import { Ago, bytesOf } from "../ui/time";
import { Chart, type Point } from "./chart";
import type { Overview, Sample } from "./overview";

/** What goes on, and the last hour of it. */
export function Now({ overview }: { overview: Overview }) {
  const { cpu, memory, disk, history, computers } = overview;
  const points = (value: (sample: Sample) => number): Point[] =>
    history.samples.map((sample) => ({ at: Date.parse(sample.at), value: value(sample) }));
  const used = memory.total_bytes - memory.available_bytes;
  const filled = disk.total_bytes - disk.free_bytes;
  return (
    <>
      <dl class="counts card">
        <Count name="Building" value={`${overview.building}`} beside={`of ${overview.slots} slots`} />
        <Count name="In the queue" value={`${overview.queued}`} />
        <Count
          name="Computers"
          value={`${computers.running}`}
          beside={`running, ${computers.stopped} stopped${computers.error ? `, ${computers.error} in error` : ""}`}
        />
        <Count name="Open streams" value={`${overview.open_streams}`} />
        <Count name="Load" value={cpu.load_1m.toFixed(2)} beside={`on ${cpu.count} CPUs`} />
      </dl>
      <div class="charts">
        <Chart
          title="CPU"
          now={percent(cpu.busy)}
          points={points((sample) => sample.cpu_busy)}
          top={1}
          words={percent}
        />
        <Chart
          title="Memory"
          now={`${bytesOf(used)} of ${bytesOf(memory.total_bytes)}`}
          points={points((sample) => sample.memory_used_bytes)}
          top={memory.total_bytes}
          words={bytesOf}
        />
        <Chart
          title="Disk"
          now={`${bytesOf(filled)} of ${bytesOf(disk.total_bytes)}`}
          points={points((sample) => sample.disk_used_bytes)}
          top={disk.total_bytes}
          words={bytesOf}
        />
        <Chart
          title="Builds, waiting too"
          now={`${overview.building + overview.queued}`}
          points={points((sample) => sample.building + sample.queued)}
          top={Math.max(1, overview.slots)}
          words={(value) => `${value}`}
        />
      </div>
      <p class="soft">
        Ingot {overview.version}, up since <Ago at={overview.started_at} />. Machines are made by {overview.backend}:{" "}
        {overview.backend_reason}. {disk.data_bytes !== null && `Its data takes ${bytesOf(disk.data_bytes)}.`}
      </p>
    </>
  );
}

function Count({ name, value, beside }: { name: string; value: string; beside?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {beside && <small>{beside}</small>}
      </dd>
    </div>
  );
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
