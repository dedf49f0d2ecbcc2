import { Link, useLocation } from "wouter-preact";
import { may } from "../../session";
import { useAction } from "../../ui/action";
import { Problem } from "../../ui/form";
import { usePoll } from "../../ui/poll";
import { listTemplates, startBuild } from "../api";
import { attemptPath } from "../head";
import { listExamples } from "./examples";
import "./start.css";

const WAY = [
  { title: "Build", says: "Choose an example below, or write a template of your own. Ingot bakes it into a snapshot." },
  { title: "Watch", says: "Every line of the bake appears as it is printed. What was built before is reused." },
  { title: "Launch", says: "Press Launch when it is ready: a computer starts, with its screen and a terminal here." },
];

/** For a server on which nothing was built yet: what Ingot is, and one click to see it. */
export function FirstRun() {
  return (
    <div class="page first">
      <header class="first-head">
        <h1>Welcome to Ingot</h1>
        <p>
          Ingot bakes a template, a short document of packages, files and commands, into a golden machine snapshot and
          shows you every line of it live. From a snapshot you launch computers that are ready within a moment, as often
          as you like.
        </p>
      </header>
      <ol class="first-way">
        {WAY.map((step) => (
          <li key={step.title} class="card">
            <h2>{step.title}</h2>
            <p class="soft">{step.says}</p>
          </li>
        ))}
      </ol>
      <Offers />
    </div>
  );
}

/** What can be built with one click: the account's own templates, then examples. */
function Offers() {
  const [, go] = useLocation();
  const start = useAction();
  const own = usePoll((signal) => listTemplates(signal), null);
  const examples = usePoll((signal) => listExamples(signal), null);
  const build = (work: () => Promise<string>) => start.run(async () => go(attemptPath(await work(), null)));
  const mine = (own.value ?? []).filter((item) => !item.ref.startsWith("system/")).slice(0, 6);
  return (
    <>
      <Problem error={start.error ?? own.error ?? examples.error} />
      {mine.length > 0 && (
        <section aria-labelledby="yours">
          <h2 id="yours">Your templates</h2>
          <ul class="offers">
            {mine.map((item) => (
              <Offer
                {...{ key: item.ref, name: item.ref, says: "", busy: start.busy }}
                onBuild={() => void build(async () => (await startBuild(item.ref, {})).ref)}
              />
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="examples">
        <h2 id="examples">Try an example</h2>
        <ul class="offers">
          {(examples.value ?? []).map((example) => (
            <Offer
              {...{ key: example.name, name: example.name, says: example.says, busy: start.busy }}
              onBuild={() => void build(example.build)}
            />
          ))}
          <li class="card offer">
            <h3>Your own</h3>
            <p class="soft">Start from an empty document; the editor helps with every field.</p>
            <Link class="button" href="/templates/new">
              Write a template
            </Link>
          </li>
        </ul>
        {!may("build") && <p class="soft">Your key may only look. Building needs one with the scope “build”.</p>}
      </section>
    </>
  );
}

function Offer(props: { name: string; says: string; busy: boolean; onBuild: () => void }) {
  return (
    <li class="card offer">
      <h3>{props.name}</h3>
      <p class="soft">{props.says}</p>
      {may("build") && (
        <button
          class="button primary"
          disabled={props.busy}
          aria-label={`Build it: ${props.name}`}
          onClick={props.onBuild}
        >
          Build it
        </button>
      )}
    </li>
  );
}
