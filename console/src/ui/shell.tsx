import type { ComponentChildren } from "preact";
import { Link, useLocation } from "wouter-preact";
import { may, session, signOut } from "../session";
import { cycleTheme, theme } from "./theme";
import "./shell.css";

const PAGES = [
  { path: "/", label: "Builds", also: "/builds" },
  { path: "/templates", label: "Templates" },
  { path: "/computers", label: "Computers" },
  { path: "/secrets", label: "Secrets" },
  { path: "/keys", label: "Keys", admin: true },
  { path: "/host", label: "Host", admin: true },
] as const;

/** The frame around every page: where one is, where one can go, who one is. */
export function Shell({ children }: { children: ComponentChildren }) {
  const [location] = useLocation();
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="shell-bar">
        <Link class="shell-brand" href="/">
          <img src="/console/ingot.svg" alt="" width="22" height="22" /> Ingot
        </Link>
        <nav aria-label="Pages">
          {PAGES.filter((page) => !("admin" in page) || may("admin")).map((page) => (
            <Link key={page.path} href={page.path} aria-current={isHere(page, location) ? "page" : undefined}>
              {page.label}
            </Link>
          ))}
        </nav>
        <div class="shell-me">
          <button class="button quiet" onClick={cycleTheme} title={`Colours: ${theme.value}`}>
            <span aria-hidden="true">{{ system: "◐", light: "☀", dark: "☾" }[theme.value]}</span>
            <span class="visually-hidden">Colours: {theme.value}. Change</span>
          </button>
          <span class="shell-key soft" title={`Key “${session.value?.key.name}” of ${session.value?.account}`}>
            {session.value?.account}
          </span>
          <button class="button quiet" onClick={() => void signOut()}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" class="shell-main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function isHere(page: { path: string; also?: string }, location: string): boolean {
  if (page.path === "/") return location === "/" || location.startsWith("/builds");
  return location === page.path || location.startsWith(`${page.path}/`);
}
