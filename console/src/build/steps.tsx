import type { AttemptStep } from "./api";
import { durationOf } from "../ui/duration";
import { SidePart } from "./side-part";

const MARKS: Record<AttemptStep["state"], [string, string]> = {
  reused: ["↺", "cached"],
  done: ["✓", "done"],
  failed: ["✗", "failed"],
  running: ["●", "under way"],
};

/** The attempt's steps: cached or run, why, and how long. `lineOf` is where a step begins in the log, -1 where it does
 * not. */
export function Steps(props: {
  steps: readonly AttemptStep[];
  lineOf: (step: number) => number;
  onReveal: (line: number) => void;
}) {
  const { steps } = props;
  const cached = steps.filter((step) => step.cached).length;
  if (steps.length === 0) return null;
  return (
    <SidePart title="Steps" open note={`${steps.length}, ${cached} cached`}>
      <table class="steps">
        <thead class="visually-hidden">
          <tr>
            <th scope="col">State</th>
            <th scope="col">Step</th>
            <th scope="col">Duration</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((step) => (
            <tr key={step.index} class={step.state}>
              <td title={MARKS[step.state][1]}>
                <span aria-hidden="true">{MARKS[step.state][0]}</span>
                <span class="visually-hidden">{MARKS[step.state][1]}</span>
              </td>
              <td>
                <StepName step={step} line={props.lineOf(step.index)} onReveal={props.onReveal} />
                <span class="step-why">
                  {step.cached ? "cached" : "run"}: {step.reason}
                  {step.layer !== null && (
                    <span title={`Layer ${step.layer}`}>
                      , layer <code>{step.layer.slice(0, 8)}</code>
                    </span>
                  )}
                </span>
              </td>
              <td class="step-time">{step.duration_ms === null || step.cached ? "" : durationOf(step.duration_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </SidePart>
  );
}

function StepName(props: { step: AttemptStep; line: number; onReveal: (line: number) => void }) {
  const { step, line } = props;
  if (line < 0) return <span class="step-name">{step.title}</span>;
  return (
    <button class="step-name" title="Show it in the log" onClick={() => props.onReveal(line)}>
      {step.title}
    </button>
  );
}
