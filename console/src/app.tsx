import { useEffect } from "preact/hooks";
import { lazy, Suspense } from "preact/compat";
import { Route, Router, Switch, useLocation } from "wouter-preact";
import { loadSession, session } from "./session";
import { SignIn } from "./pages/sign-in";
import { Boundary } from "./ui/boundary";
import { Shell } from "./ui/shell";
import { mayLeave } from "./ui/leaving";
import { Loading, Missing } from "./ui/states";

// Each page is a file of its own, loaded when it is first opened: the build view does not wait for the editor.
const Builds = lazy(() => import("./pages/builds"));
const loadBuild = () => import("./build/page");
const Build = lazy(loadBuild);
const Templates = lazy(() => import("./pages/templates"));
const Template = lazy(() => import("./pages/template"));
const Editor = lazy(() => import("./pages/editor"));
const Computers = lazy(() => import("./pages/computers"));
const Computer = lazy(() => import("./pages/computer"));
const Secrets = lazy(() => import("./pages/secrets"));
const Keys = lazy(() => import("./pages/keys"));
const Host = lazy(() => import("./pages/host"));

// The page that is opened most by its address comes beside the question for the session.
if (location.pathname.includes("/builds/")) void loadBuild();

export function App() {
  useEffect(() => void loadSession(), []);
  if (session.value === undefined) return <Loading what="your session" />;
  return (
    <Router base="/console" aroundNav={(go, to, options) => (leaves(to) && !mayLeave() ? undefined : go(to, options))}>
      {session.value === null ? <SignIn /> : <Pages />}
    </Router>
  );
}

/** Whether an address is another page, and no other view of this one. */
function leaves(to: string): boolean {
  return new URL(to, location.href).pathname !== location.pathname;
}

/** The addresses. A line of a build is `/builds/ns/name/version?attempt=3#L120`. */
function Pages() {
  const [here] = useLocation();
  return (
    <Shell>
      <Boundary at={here}>
        <Suspense fallback={<Loading what="the page" />}>
          <Switch>
            <Route path="/" component={Builds} />
            <Route path="/sign-in" component={Builds} />
            <Route path="/builds/:namespace/:name/:version" component={Build} />
            <Route path="/templates" component={Templates} />
            <Route path="/templates/new" component={Editor} />
            <Route path="/templates/:namespace/:name" component={Template} />
            <Route path="/templates/:namespace/:name/:version/edit" component={Editor} />
            <Route path="/computers" component={Computers} />
            <Route path="/computers/:id" component={Computer} />
            <Route path="/secrets" component={Secrets} />
            <Route path="/keys" component={Keys} />
            <Route path="/host" component={Host} />
            <Route>
              <Missing what="page" />
            </Route>
          </Switch>
        </Suspense>
      </Boundary>
    </Shell>
  );
}
