import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { request } from "../api/client";
import { partsOf, type Computer } from "../api/types";
import { useDeeds } from "../computers/deeds";
import { LaunchDialog } from "../computers/launch";
import { may } from "../session";
import { ComputerBadge, isChanging } from "../ui/badges";
import { Menu } from "../ui/menu";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading } from "../ui/states";
import { Table } from "../ui/table";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";

/** The computers that were made from golden snapshots. */
export default function Computers() {
  useTitle("Computers");
  const { value, error, reload } = usePoll(
    (signal) => request<{ computers: Computer[] }>("GET", "/api/computers", { signal }),
    (answer) => (answer.computers.some((computer) => isChanging(computer.status)) ? 1000 : 5000),
  );
  const [launching, setLaunching] = useState(false);
  return (
    <div class="page">
      <header class="page-head">
        <h1>Computers</h1>
        {may("launch") && (
          <button class="button primary" onClick={() => setLaunching(true)}>
            Launch a computer
          </button>
        )}
      </header>
      {!value ? (
        error ? (
          <Failed error={error} retry={reload} />
        ) : (
          <Loading what="the computers" />
        )
      ) : value.computers.length === 0 ? (
        <Empty title="No computers">
          <p>A computer is launched from a template that is ready, and starts from its golden snapshot.</p>
          <p>
            <Link href="/templates">Go to the templates</Link>
          </p>
        </Empty>
      ) : (
        <ComputerTable computers={value.computers} reload={reload} />
      )}
      {launching && <LaunchDialog onClose={() => setLaunching(false)} />}
    </div>
  );
}

function ComputerTable({ computers, reload }: { computers: Computer[]; reload: () => void }) {
  return (
    <Table
      caption="Computers of this account"
      rows={computers}
      keyOf={(computer) => computer.id}
      columns={[
        { label: "Name", cell: (computer) => <Name computer={computer} /> },
        { label: "Status", cell: (computer) => <Status computer={computer} /> },
        { label: "Template", cell: (computer) => <TemplateLink template={computer.template_ref} /> },
        { label: "Hardware", cell: (computer) => `${computer.cpu} CPU, ${computer.ram} GiB` },
        { label: "Made", cell: (computer) => <Ago at={computer.created_at} /> },
        ...(may("launch")
          ? [
              {
                label: "Actions",
                quiet: true,
                cell: (computer: Computer) => <RowMenu computer={computer} reload={reload} />,
              },
            ]
          : []),
      ]}
    />
  );
}

function Name({ computer }: { computer: Computer }) {
  return (
    <span class="row">
      <Link href={`/computers/${computer.id}`}>{computer.name}</Link>
      {computer.test_run && <span class="badge">test run</span>}
    </span>
  );
}

/** The status, and what went wrong where something did. */
function Status({ computer }: { computer: Computer }) {
  return (
    <span class="row">
      <ComputerBadge status={computer.status} />
      {computer.error && (
        <span class="soft" title={computer.error}>
          {computer.error.length > 120 ? `${computer.error.slice(0, 120)} …` : computer.error}
        </span>
      )}
    </span>
  );
}

export function TemplateLink({ template }: { template: string }) {
  const { namespace, name, version } = partsOf(template);
  return <Link href={`/templates/${namespace}/${name}?version=${encodeURIComponent(version)}`}>{template}</Link>;
}

function RowMenu({ computer, reload }: { computer: Computer; reload: () => void }) {
  const [, navigate] = useLocation();
  const { choices, dialog } = useDeeds(computer, {
    onChanged: reload,
    onCloned: (made) => navigate(`/computers/${made.id}`),
    onDeleted: reload,
  });
  return (
    <>
      <Menu label={`Actions for ${computer.name}`} choices={choices} />
      {dialog}
    </>
  );
}
