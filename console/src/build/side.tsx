import { History } from "./history";
import { ManifestPart } from "./manifest";
import { MachineScreen } from "./screen";
import { Steps } from "./steps";
import type { Watched } from "./watched";
import "./side.css";

/** What is known besides the log: the screen, the steps, the attempts before, what is in the snapshot. */
export function Side({ watched, buildRef }: { watched: Watched; buildRef: string }) {
  const { log, detail, attempts, number, kind } = watched;
  const lineOf = (step: number) => log.sections.peek().find((section) => section.step?.index === step)?.first ?? -1;
  const isEmpty = kind !== "running" && !detail?.steps.length && !detail?.manifest && attempts.length < 2;
  return (
    <aside class="build-side" aria-label="Details">
      {kind === "running" && <MachineScreen buildRef={buildRef} />}
      <History {...{ buildRef, attempts, number }} />
      {detail && <Steps steps={detail.steps} lineOf={lineOf} onReveal={(line) => log.reveal(line)} />}
      {detail && <ManifestPart detail={detail} />}
      {isEmpty && <p class="soft side-empty">Steps, history and the snapshot show here once there are any.</p>}
    </aside>
  );
}
