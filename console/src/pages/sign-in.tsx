import { useState } from "preact/hooks";
import { signIn } from "../session";
import "./sign-in.css";

/** Where one without a session is: a key opens one, or the link of `ingot console` does. */
export function SignIn() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  async function open(event: Event) {
    event.preventDefault();
    setBusy(true);
    setProblem("");
    try {
      await signIn({ key: key.trim() });
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <main class="sign-in">
      <form class="card sign-in-form" onSubmit={(event) => void open(event)}>
        <h1>
          <img src="/console/ingot.svg" alt="" width="32" height="32" /> Ingot
        </h1>
        <label class="field">
          API key
          <input
            type="password"
            name="key"
            autocomplete="current-password"
            required
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
            aria-describedby="sign-in-problem"
          />
        </label>
        <p id="sign-in-problem" class="sign-in-problem" role="alert">
          {problem}
        </p>
        <button class="button primary" disabled={busy}>
          {busy ? "Signing in …" : "Sign in"}
        </button>
        <p class="soft">
          On the server's own machine, <code>ingot console</code> prints a link that signs you in.
        </p>
      </form>
    </main>
  );
}
