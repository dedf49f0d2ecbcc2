import { useState } from "preact/hooks";
import { refusal, signIn } from "../session";
import { useAction } from "../ui/action";
import { Copy } from "../ui/copy";
import { Field, Problem } from "../ui/form";
import "./sign-in.css";

/** Where one without a session is: a key opens one, or the link of `ingot console` does. */
export function SignIn() {
  return (
    <main class="sign-in">
      <div class="card sign-in-card">
        <h1>
          <img src="/console/ingot.svg" alt="" width="32" height="32" /> Ingot
        </h1>
        {refusal.value !== null && <Problem error={refusal.value} />}
        <SignInForm />
        <div class="soft sign-in-way">
          <p>No key at hand? On the server's own machine this prints a link that signs you in:</p>
          <p class="row">
            <code>ingot console</code> <Copy text="ingot console" what="the command" />
          </p>
        </div>
      </div>
    </main>
  );
}

/** Takes a key and opens a session with it; the key itself is kept nowhere. */
export function SignInForm({ onDone }: { onDone?: () => void }) {
  const [key, setKey] = useState("");
  const action = useAction();

  async function open(event: Event) {
    event.preventDefault();
    if (await action.run(() => signIn({ key: key.trim() }))) onDone?.();
  }

  return (
    <form class="stack" onSubmit={(event) => void open(event)}>
      <Field
        label="API key"
        hint="It begins with sk_live_. The browser keeps a session of 30 days at most, not the key."
      >
        <input
          type="password"
          name="key"
          autocomplete="current-password"
          required
          autofocus
          spellcheck={false}
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
      </Field>
      <Problem error={action.error} />
      <button class="button primary" disabled={action.busy}>
        {action.busy ? "Signing in …" : "Sign in"}
      </button>
    </form>
  );
}
