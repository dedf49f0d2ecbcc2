import { useState } from "preact/hooks";
import { request } from "../api/client";
import type { Scope } from "../session";
import { useAction } from "../ui/action";
import { Copy } from "../ui/copy";
import { Dialog } from "../ui/dialog";
import { Field, Note, Problem } from "../ui/form";

const SCOPES: readonly [Scope, string][] = [
  ["read", "look at everything: templates, builds, logs, computers"],
  ["publish", "publish and delete templates"],
  ["build", "start and cancel builds"],
  ["launch", "make, use and delete computers"],
  ["admin", "all of these, and keys, secrets and the server"],
];

/** Makes a key and shows it this once. */
export function NewKey({ onMade, onClose }: { onMade: () => void; onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly Scope[]>(["read"]);
  const [made, setMade] = useState<string | null>(null);
  const action = useAction();

  async function create(event: Event) {
    event.preventDefault();
    await action.run(async () => {
      setMade((await request<{ key: string }>("POST", "/api/keys", { json: { name, scopes } })).key);
      onMade();
    });
  }

  if (made) return <Made name={name} made={made} onClose={onClose} />;
  return (
    <Dialog title="Create a key" onClose={onClose}>
      <form class="stack" onSubmit={(event) => void create(event)}>
        <Field label="Name" hint="What it is for, so that you know it again.">
          <input
            required
            name="name"
            maxLength={100}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </Field>
        <fieldset class="key-scopes">
          <legend>It may</legend>
          {SCOPES.map(([scope, words]) => (
            <label key={scope} class="check">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={(event) =>
                  setScopes(event.currentTarget.checked ? [...scopes, scope] : scopes.filter((kept) => kept !== scope))
                }
              />
              <span>
                <strong>{scope}</strong> <span class="soft">{words}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <Problem error={action.error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button class="button primary" disabled={action.busy || scopes.length === 0}>
            {action.busy ? "Creating …" : "Create"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function Made({ name, made, onClose }: { name: string; made: string; onClose: () => void }) {
  return (
    <Dialog title={`The key ${name}`}>
      <Note kind="warn">
        <p>It is shown this once. Copy it now and keep it where secrets are kept.</p>
      </Note>
      <div class="row">
        <input
          class="mono new-key"
          readOnly
          aria-label="The new key"
          value={made}
          onFocus={(event) => event.currentTarget.select()}
        />
        <Copy text={made} what="the key" />
      </div>
      <footer class="dialog-foot">
        <button class="button primary" onClick={onClose}>
          I have kept it
        </button>
      </footer>
    </Dialog>
  );
}
