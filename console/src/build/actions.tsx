import { useLocation } from "wouter-preact";
import { may } from "../session";
import { copyText } from "../ui/copy";
import { Menu, type Choice } from "../ui/menu";
import { toast } from "../ui/toast";
import { editPath } from "./ending";
import { isUnderWay } from "./standing";
import type { Watched } from "./watched";
import type { Work } from "./work";

/** What can be done with the build. */
export function BuildActions(props: {
  watched: Watched;
  work: Work;
  isSideOpen: boolean;
  onCancel: () => void;
  onRebuild: () => void;
  onSide: () => void;
}) {
  const { watched, work } = props;
  const [, go] = useLocation();
  const busy = work.busy.value;
  const runs = watched.build?.status === "building" || (watched.isCurrent && isUnderWay(watched.kind));
  const isBuilt = watched.kind !== "not_built";
  return (
    <div class="build-actions">
      {watched.build?.status === "ready" && watched.kind !== "ready" && may("launch") && (
        <button class="button" disabled={busy !== ""} onClick={() => void work.launch()}>
          {busy === "launching" ? "Launching …" : "Launch"}
        </button>
      )}
      {runs && may("build") && (
        <button class="button danger" disabled={busy !== ""} onClick={props.onCancel}>
          {busy === "cancelling" ? "Cancelling …" : "Cancel"}
        </button>
      )}
      {isBuilt && may("build") && (
        <button class="button" disabled={busy === "building"} onClick={props.onRebuild}>
          {busy === "building" ? "Starting …" : "Rebuild …"}
        </button>
      )}
      <button class="button" aria-expanded={props.isSideOpen} onClick={props.onSide}>
        Details
      </button>
      <Menu
        label="More"
        choices={[
          { label: "Edit the template", act: () => go(editPath(work.ref)) },
          ...commands(work.ref, watched).map(([label, command]) => copying(label, command)),
        ]}
      />
    </div>
  );
}

function commands(ref: string, { number, isCurrent, build }: Watched): [label: string, command: string][] {
  const attempt = isCurrent || number === null ? "" : ` --attempt ${number}`;
  const found: [string, string][] = [
    ["Copy the command for this log", `ingot logs --follow ${ref}${attempt}`],
    ["Copy the command that builds it", `ingot build --follow --force ${ref}`],
  ];
  if (build?.status === "ready") found.push(["Copy the command for a test run", `ingot run ${ref}`]);
  return found;
}

function copying(label: string, command: string): Choice {
  const act = async () => {
    const done = await copyText(command);
    toast(done ? `Copied: ${command}` : `The browser did not let the page copy: ${command}`, done ? "ok" : "bad");
  };
  return { label, act: () => void act() };
}
