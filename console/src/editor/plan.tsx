import { ApiError, request } from "../api/client";
import type { PlanStep } from "../api/types";
import { usePoll } from "../ui/poll";
import { Failed, Loading } from "../ui/states";
import "./plan.css";

/** The plan of a document (JSON or YAML), asked for anew when the document or `about` changes. */
export function PlanOf({ document, about }: { document: string; about?: unknown }) {
  const { value, error, reload } = usePoll(
    (signal) =>
      request<{ steps: PlanStep[] }>("POST", "/api/templates/plan", {
        text: { body: document, type: "application/yaml" },
        signal,
      }),
    null,
    [document, about],
  );
  if (value) return <Plan steps={value.steps} />;
  if (error instanceof ApiError && error.status === 422)
    return <p class="soft">A document with problems has no plan.</p>;
  return error ? <Failed error={error} retry={reload} /> : <Loading what="the plan" />;
}

/** The steps of a build: which are known already, which would run, and why. */
export function Plan({ steps }: { steps: readonly PlanStep[] }) {
  const known = steps.filter((step) => step.action === "reuse").length;
  return (
    <div class="plan">
      <p class="soft">
        {steps.length === 0
          ? "No steps: the snapshot is the base image with the document's settings."
          : known === steps.length
            ? `All ${steps.length} steps are known: a build takes a moment.`
            : `${known} of ${steps.length} steps are known, ${steps.length - known} would run.`}
      </p>
      <ol>
        {steps.map((step) => (
          <li key={step.index} class={step.action === "reuse" ? "known" : "due"}>
            <span class={step.action === "reuse" ? "badge ok" : "badge busy"}>{step.action}</span>
            <span class="plan-title">{step.title}</span>
            <span class="soft plan-reason">{step.reason}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
