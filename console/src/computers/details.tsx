import type { Computer } from "../api/types";
import { TemplateLink } from "../pages/computers";
import { Copy } from "../ui/copy";
import "../ui/form.css";
import { Ago } from "../ui/time";

/** What a computer is, as the API tells it. */
export function Details({ computer }: { computer: Computer }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Template", <TemplateLink template={computer.template_ref} />],
    ["CPU", `${computer.cpu}`],
    ["Memory", `${computer.ram} GiB`],
    ["Disk", `${computer.disk_size_gb} GiB`],
    ["Resolution", computer.resolution],
    ["Stops by itself", autoStop(computer.auto_stop_minutes)],
    ["Made", <Ago at={computer.created_at} />],
    ["Host name", <code>{computer.instance_id}</code>],
    ["Id", <Kept text={computer.id} what="the id" />],
    ...(computer.vnc_password
      ? [
          ["Screen password", <Kept text={computer.vnc_password} what="the password" />] as [
            string,
            preact.ComponentChildren,
          ],
        ]
      : []),
    ["Ports of its services", portsOf(computer)],
  ];
  return (
    <dl class="facts card">
      {facts.map(([name, fact]) => (
        <>
          <dt>{name}</dt>
          <dd>{fact}</dd>
        </>
      ))}
    </dl>
  );
}

function Kept({ text, what }: { text: string; what: string }) {
  return (
    <span class="row">
      <code>{text}</code> <Copy text={text} what={what} />
    </span>
  );
}

function autoStop(minutes: number | null): string {
  if (minutes === null || minutes === 0) return "never";
  return `after ${minutes} idle minutes`;
}

function portsOf(computer: Computer): string {
  const ports = computer.template_ports as { internal?: number; protocol?: string; description?: string }[];
  const words = ports.map(({ internal, protocol, description }) =>
    [`${internal}/${protocol ?? "tcp"}`, description].filter(Boolean).join(" "),
  );
  return words.join(", ") || "none declared";
}
