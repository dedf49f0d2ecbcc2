import { request } from "../api/client";
import { Findings } from "../host/findings";
import { Garbage } from "../host/garbage";
import { Now } from "../host/now";
import type { Overview } from "../host/overview";
import { Settings } from "../host/settings";
import { may } from "../session";
import { Note } from "../ui/form";
import { usePoll } from "../ui/poll";
import { Failed, Loading } from "../ui/states";
import { useTitle } from "../ui/title";
import { NotForThisKey } from "./keys";
import "../host/chart.css";

const EVERY_MS = 5000;

/** The server and the machine that it runs on. */
export default function Host() {
  useTitle("Host");
  return may("admin") ? <ForAdmins /> : <NotForThisKey />;
}

function ForAdmins() {
  const { value, error, reload } = usePoll(
    (signal) => request<Overview>("GET", "/api/admin/overview", { signal }),
    EVERY_MS,
  );
  return (
    <div class="page">
      <h1>Host</h1>
      {value ? <Now overview={value} /> : error ? <Failed error={error} retry={reload} /> : <Loading what="the host" />}
      {value && error !== null && (
        <Note kind="warn">The server does not answer at the moment; what stands above is old.</Note>
      )}
      <section class="card stack" aria-labelledby="findings-head">
        <h2 id="findings-head">What the host has</h2>
        <Findings />
      </section>
      <section class="card stack" aria-labelledby="garbage-head">
        <h2 id="garbage-head">Garbage</h2>
        <Garbage />
      </section>
      <section class="card stack" aria-labelledby="settings-head">
        <h2 id="settings-head">Settings</h2>
        <Settings />
      </section>
    </div>
  );
}
