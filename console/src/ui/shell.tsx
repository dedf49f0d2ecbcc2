import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { may, session, signOut } from "../session";
import { SignInAgain } from "./sign-in-again";
import { SignInInstead } from "./sign-in-instead";
import { cycleTheme, theme } from "./theme";
import { toast, Toasts } from "./toast";
import { wordsOf } from "./action";
import "./shell.css";

const PAGES = [
  { path: "/", label: "Builds" },
  { path: "/templates", label: "Templates" },
  { path: "/computers", label: "Computers" },
  { path: "/secrets", label: "Secrets" },
  { path: "/keys", label: "Keys", admin: true },
  { path: "/host", label: "Host", admin: true },
] as const;

/** The frame around every page: where one is, where one can go, who one is. */
export function Shell({ children }: { children: ComponentChildren }) {
  const [location] = useLocation();
  const main = useMovedFocus(location);
  return (
    <div class="shell">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault(); // the hash belongs to a build's lines
          main.current?.focus();
        }}
      >
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
        <Me />
      </header>
      <main id="main" class="shell-main" tabIndex={-1} ref={main}>
        {children}
      </main>
      <Toasts />
      <SignInAgain />
      <SignInInstead />
    </div>
  );
}

function Me() {
  const leave = () => void signOut().catch((error: unknown) => toast(wordsOf(error), "bad"));
  return (
    <div class="shell-me">
      <button class="button quiet" onClick={cycleTheme} title={`Colours: ${theme.value}`}>
        <span aria-hidden="true">{{ system: "◐", light: "☀", dark: "☾" }[theme.value]}</span>
        <span class="visually-hidden">Colours: {theme.value}. Change</span>
      </button>
      <span
        class="shell-key soft"
        title={`Signed in with the key “${session.value?.key.name}” of ${session.value?.account}`}
      >
        {session.value?.key.name}
      </span>
      <button class="button quiet" onClick={leave}>
        Sign out
      </button>
    </div>
  );
}

/** A new page begins at its top, and whoever reads by ear or keyboard begins there too. */
function useMovedFocus(location: string) {
  const main = useRef<HTMLElement>(null);
  const last = useRef(location);
  useEffect(() => {
    if (last.current === location) return;
    last.current = location;
    main.current?.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [location]);
  useEffect(() => {
    // On a narrow screen the list of pages scrolls.
    document.querySelector(".shell-bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [location]);
  return main;
}

function isHere(page: { path: string }, location: string): boolean {
  if (page.path === "/") return location === "/" || location === "/sign-in" || location.startsWith("/builds");
  return location === page.path || location.startsWith(`${page.path}/`);
}
