import { useEffect, useState } from "preact/hooks";

const PLACES = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/** A place in the queue, from 1: `third`. */
export function ordinal(place: number): string {
  return PLACES[place - 1] ?? `${place}${ending(place)}`;
}

function ending(place: number): string {
  if (place % 100 >= 11 && place % 100 <= 13) return "th";
  return { 1: "st", 2: "nd", 3: "rd" }[place % 10] ?? "th";
}

/** Date.now(), anew every second while `on`. */
export function useNow(on = true): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!on) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [on]);
  return now;
}

/** Milliseconds of an ISO time. */
export function at(iso: string | null | undefined): number | null {
  return iso ? Date.parse(iso) : null;
}
