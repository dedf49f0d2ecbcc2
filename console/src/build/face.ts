import { useEffect } from "preact/hooks";
import type { Standing } from "./standing";

const COLOURS: Record<Standing["tone"], string> = {
  "": "#8b8b84",
  ok: "#2e9e5b",
  bad: "#d23c3c",
  warn: "#c98a1b",
  busy: "#2f7fd6",
};

/** The page's name and picture in the browser's tab tell how the build stands: `✓ hello 1.0.0 – Ingot`. */
export function useFace(buildRef: string, stands: Standing): void {
  const [name = "", version = ""] = buildRef.split("@");
  const short = name.split("/").at(-1) ?? name;
  const title = `${stands.sign} ${short} ${version} – Ingot`.trim();
  useEffect(() => {
    document.title = title;
    return () => void (document.title = "Ingot");
  }, [title]);
  useEffect(() => setIcon(stands.kind === "unknown" ? null : COLOURS[stands.tone]), [stands.kind, stands.tone]);
}

/** Ingot's sign with a dot of this colour; what takes it away again. */
function setIcon(colour: string | null): () => void {
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (link === null || colour === null) return () => {};
  const plain = link.href;
  link.href = `data:image/svg+xml,${encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M9 9h14l5 14H4z" fill="#d9822b"/>' +
      `<circle cx="22" cy="22" r="9" fill="${colour}" stroke="#fff" stroke-width="2"/></svg>`,
  )}`;
  return () => void (link.href = plain);
}
