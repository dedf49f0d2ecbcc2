/** Everything about the attempt that is looked at: its log, and what the API says of it. */

import { computed } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Build } from "../api/types";
import { openLog, type Connection, type End, type Log } from "../log";
import { session } from "../session";
import { usePoll } from "../ui/poll";
import { getAttempt, getAttempts, getBuild, type Attempt, type AttemptDetail } from "./api";
import { isUnderWay, kindOfAll, kindOfBuild, type Kind } from "./standing";

const QUEUED_MS = 2000;
const RUNNING_MS = 3000;
const RESTING_MS = 10_000;

export interface Watched {
  log: Log;
  build: Build | undefined;
  /** Why there is no build object. */
  error: unknown;
  attempts: readonly Attempt[];
  /** The attempt that is shown: what is known of it, all of it once `detail` is here. 0: never built. */
  number: number | null;
  own: Attempt | undefined;
  detail: AttemptDetail | undefined;
  end: End | null;
  kind: Kind;
  connection: Connection["state"];
  /** A refusal's code, else null. */
  refused: string | null;
  /** It is the attempt that cancels, builds and launches are about. */
  isCurrent: boolean;
  /** Asks for everything again. */
  refresh: () => void;
  /** Opens the log anew: of the attempt that is current now. */
  reopen: () => void;
}

/** `wanted`: an attempt; null: the current one. */
export function useWatched(ref: string, wanted: number | null): Watched {
  const [opened, setOpened] = useState(0);
  const log = useLog(ref, wanted, opened);
  const build = usePoll((signal) => getBuild(ref, signal), paceOf, [ref]);
  const attempts = usePoll((signal) => getAttempts(ref, signal), null, [ref]);
  const connection = useOf(log, stateOf);
  const refused = useOf(log, refusalOf);
  const hasBegun = useOf(log, leftTheQueue);
  const current = build.value?.attempt ?? null;
  const number = wanted ?? log.attempt.value ?? current;
  const detail = usePoll(
    (signal) => (number ? getAttempt(ref, number, signal) : Promise.resolve(undefined)),
    (attempt) => (attempt && attempt.finished_at === null ? RUNNING_MS : null),
    [ref, number],
  );
  const end = log.end.value;
  const whole = detail.value?.attempt === number ? detail.value : undefined; // not the one before
  const own = whole ?? attempts.value?.find((attempt) => attempt.attempt === number);
  const kind = kindOfAll(own, number === current ? build.value : undefined, end);
  const refresh = () => [build, attempts, detail].forEach((polled) => polled.reload());
  const reopen = () => {
    setOpened((count) => count + 1);
    refresh();
  };
  useChange(`${end !== null} ${build.value?.attempt} ${build.value?.status}`, () => {
    attempts.reload();
    detail.reload();
  });
  useChange(end !== null, build.reload);
  useChange(hasBegun, refresh); // also where nobody looks: the page's title tells it
  useChange(connection, (before) => before === "waiting" && refresh());
  useChange(session.value, () => refused !== null && reopen());
  useEffect(() => {
    if (refused === "not_built" && current) reopen(); // somebody else started the first build
  }, [refused, current]);
  return {
    ...{ log, build: build.value, error: build.error, attempts: attempts.value ?? [], number, own },
    ...{ detail: whole, end, kind, connection, refused, isCurrent: number === current, refresh, reopen },
  };
}

function useLog(ref: string, attempt: number | null, opened: number): Log {
  const log = useMemo(() => openLog(attempt === null ? { ref } : { ref, attempt }), [ref, attempt, opened]);
  useEffect(() => () => log.close(), [log]);
  return log;
}

/** Calls `then` with the value before when the value changes; not for the first one. */
function useChange<T>(value: T, then: (before: T) => void): void {
  const before = useRef(value);
  useEffect(() => {
    if (before.current === value) return;
    const last = before.current;
    before.current = value;
    then(last);
  }, [value]);
}

function paceOf(build: Build): number {
  const kind = kindOfBuild(build);
  if (!isUnderWay(kind)) return RESTING_MS;
  return kind === "queued" ? QUEUED_MS : RUNNING_MS;
}

/** What is told of a log, and told anew only when it changes: the log itself changes with every frame. */
export function useOf<T>(log: Log, tell: (log: Log) => T): T {
  return useMemo(() => computed(() => tell(log)), [log]).value;
}

function stateOf(log: Log): Connection["state"] {
  return log.connection.value.state;
}

function leftTheQueue(log: Log): boolean {
  return log.sections.value.some((section) => section.phase !== "publish");
}

function refusalOf(log: Log): string | null {
  const connection = log.connection.value;
  return connection.state === "refused" ? connection.code : null;
}
