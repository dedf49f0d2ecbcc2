import type { Problem } from "../api/types";
import { Note } from "../ui/form";
import type { Checks } from "./checks";
import { Plan } from "./plan";

/** Beside the text: what the server says of it. */
export function Side({ checks, goTo }: { checks: Checks; goTo: (problem: Problem) => void }) {
  const { verdict, problems, plan, planError } = checks;
  return (
    <aside class="editor-side" aria-label="What the server says">
      <section class="stack" aria-labelledby="problems-head">
        <h2 id="problems-head">Problems</h2>
        <div role="status">
          <VerdictWords checks={checks} />
        </div>
        {problems.length > 0 && <Problems problems={problems} goTo={goTo} />}
        {verdict.state === "valid" && verdict.warnings.length > 0 && (
          <Note kind="warn">
            {verdict.warnings.map((warning) => (
              <p key={warning}>{warning}</p>
            ))}
          </Note>
        )}
      </section>
      <section class="stack" aria-labelledby="plan-head">
        <h2 id="plan-head">Plan</h2>
        {plan ? (
          <Plan steps={plan.steps} />
        ) : (
          <p class="soft">{planError || "What a build would reuse and run shows here when the document is valid."}</p>
        )}
      </section>
    </aside>
  );
}

function VerdictWords({ checks: { verdict, problems } }: { checks: Checks }) {
  if (verdict.state === "unknown") return <span class="badge warn">not checked: {verdict.why}</span>;
  if (problems.length > 0) {
    return <span class="badge bad">{problems.length === 1 ? "1 problem" : `${problems.length} problems`}</span>;
  }
  return verdict.state === "valid" ? <span class="badge ok">valid</span> : <span class="badge">checking …</span>;
}

function Problems({ problems, goTo }: { problems: readonly Problem[]; goTo: (problem: Problem) => void }) {
  return (
    <ol class="problems">
      {problems.map((problem, place) => (
        <li key={place}>
          <button onClick={() => goTo(problem)}>
            <span class="problems-where">
              {problem.line !== undefined && <span class="soft">line {problem.line}</span>}
              {problem.field && <code>{problem.field}</code>}
            </span>
            <span>{problem.message}</span>
            {problem.hint && <span class="soft">{problem.hint}</span>}
          </button>
        </li>
      ))}
    </ol>
  );
}
