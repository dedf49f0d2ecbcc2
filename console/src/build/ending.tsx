import { useEffect, useRef } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { refPath } from "../api/client";
import { may } from "../session";
import { copyText } from "../ui/copy";
import { durationOf } from "../ui/duration";
import { toast } from "../ui/toast";
import { ADVICE, type Step } from "./advice";
import type { BuildFlags, Failure } from "./api";
import { Notice } from "./notice";

/** Where the log keeps enough room beside them. */
const ROOMY = "(min-width: 800px) and (min-height: 700px)";

interface FailureProps {
  buildRef: string;
  attempt: number;
  failure: Failure;
  took: number | null;
  /** A golden of an earlier attempt is there, so a computer can be launched all the same. */
  goldenStays: boolean;
  /** Where it failed in the log, -1 where the log does not tell. */
  line: number;
  canBuild: boolean;
  onReveal: (line: number) => void;
  onBuild: (flags: BuildFlags) => void;
}

/** How a build failed and what to do now. */
export function FailureNotice(props: FailureProps) {
  const { failure, took } = props;
  const advice = ADVICE[failure.code];
  const isStop = failure.code === "cancelled" || failure.code === "queue_expired";
  return (
    <Notice
      tone={failure.code === "cancelled" ? "warn" : "bad"}
      class="ending"
      below={failure.last_lines.length > 0 && <LastLines lines={failure.last_lines} />}
      actions={advice.steps.map((step, place) => (
        <NextStep key={step.label} step={step} isFirst={place === 0} {...props} />
      ))}
    >
      <p>
        <strong>{advice.title}</strong>
        {took !== null && ` after ${durationOf(took)}`}
        {failure.code !== "cancelled" && (
          <>
            {": "}
            {failure.message}
          </>
        )}
        {failure.exit_code !== null && !failure.message.includes("exit code") && ` (exit code ${failure.exit_code})`}{" "}
        <LineLink line={isStop ? -1 : props.line} onReveal={props.onReveal} />
      </p>
      <p class="ending-says">
        {advice.says}
        {props.goldenStays && " The golden snapshot of an earlier attempt stays and can be launched."}
      </p>
    </Notice>
  );
}

function LineLink({ line, onReveal }: { line: number; onReveal: (line: number) => void }) {
  if (line < 0) return null;
  return (
    <a
      href={`#L${line + 1}`}
      onClick={(event) => {
        event.preventDefault();
        onReveal(line);
      }}
    >
      line {line + 1}
    </a>
  );
}

/** The newest of them are the ones that one sees first. */
function LastLines({ lines }: { lines: readonly string[] }) {
  const box = useRef<HTMLPreElement>(null);
  const toEnd = () => box.current?.scrollTo(0, box.current.scrollHeight);
  useEffect(toEnd, [lines]);
  if (lines.length === 0) return null;
  return (
    <details class="last-lines" open={matchMedia(ROOMY).matches} onToggle={toEnd}>
      <summary>Its last {lines.length === 1 ? "line" : `${lines.length} lines`}</summary>
      <pre ref={box} tabIndex={0} aria-label="Its last lines">
        {lines.join("\n")}
      </pre>
    </details>
  );
}

function NextStep({ step, isFirst, ...props }: FailureProps & { step: Step; isFirst: boolean }) {
  const [, go] = useLocation();
  const look = isFirst ? "button primary" : "button";
  switch (step.do) {
    case "build":
      if (!may("build")) return null;
      return (
        <button class={look} disabled={!props.canBuild} onClick={() => props.onBuild(step.flags)}>
          {step.label}
        </button>
      );
    case "edit":
      return (
        <Link class={look} href={editPath(props.buildRef)}>
          {step.label}
        </Link>
      );
    case "look":
      return (
        <button class={look} disabled={props.line < 0} onClick={() => props.onReveal(props.line)}>
          {step.label}
        </button>
      );
    case "builds":
      return (
        <button class={look} onClick={() => go("/")}>
          {step.label}
        </button>
      );
    case "report":
      return (
        <button class={look} onClick={() => void copyReport(props)}>
          {step.label}
        </button>
      );
  }
}

async function copyReport({ buildRef, attempt, failure }: FailureProps): Promise<void> {
  const report = [
    `Build ${buildRef}, attempt ${attempt}: ${failure.code}`,
    failure.message,
    `step: ${failure.step ?? "none"}`,
    ...failure.last_lines,
  ].join("\n");
  const done = await copyText(report);
  toast(done ? "The report is on the clipboard." : "The browser did not let the page copy.", done ? "ok" : "bad");
}

export function editPath(buildRef: string): string {
  return `/templates/${refPath(buildRef)}/edit`;
}
