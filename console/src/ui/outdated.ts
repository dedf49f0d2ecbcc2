/** A tab that is older than the server's pages: with an upgrade the files go that it has not loaded yet. */

const KEPT = "ingot-reloaded";

/** Loads the page anew when a part of it is not there: once a version, and where the server answers. */
export function reloadWhenOutdated(): void {
  addEventListener("vite:preloadError", () => void reload());
}

async function reload(): Promise<void> {
  const version = import.meta.url; // names the hash of what this tab runs
  if (sessionStorage.getItem(KEPT) === version) return;
  const page = await fetch(import.meta.env.BASE_URL, { cache: "no-store" }).catch(() => null);
  if (!page?.ok) return;
  sessionStorage.setItem(KEPT, version);
  location.reload();
}
