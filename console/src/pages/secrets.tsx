import { useState } from "preact/hooks";
import { request } from "../api/client";
import type { Secret } from "../api/types";
import { may } from "../session";
import { useAction } from "../ui/action";
import { Confirm, Dialog, DialogFoot } from "../ui/dialog";
import { Field, Note, Problem } from "../ui/form";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading } from "../ui/states";
import { Table } from "../ui/table";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";
import { toast } from "../ui/toast";

/** Names of secrets. Values go in and never come out, so none is ever shown. */
export default function Secrets() {
  useTitle("Secrets");
  const { value, error, reload } = usePoll(
    (signal) => request<{ secrets: Secret[] }>("GET", "/api/secrets", { signal }),
    30_000,
  );
  const [edited, setEdited] = useState<string | null>(null);
  const [dropped, setDropped] = useState<string | null>(null);
  const mayChange = may("admin");
  return (
    <div class="page">
      <header class="page-head">
        <h1>Secrets</h1>
        {mayChange && (
          <button class="button primary" onClick={() => setEdited("")}>
            Add a secret
          </button>
        )}
      </header>
      {value === undefined ? (
        error ? (
          <Failed error={error} retry={reload} />
        ) : (
          <Loading what="the secrets" />
        )
      ) : value.secrets.length === 0 ? (
        <NoSecrets />
      ) : (
        <Table
          caption="Secrets of this account"
          rows={value.secrets}
          keyOf={(secret) => secret.name}
          columns={[
            { label: "Name", cell: (secret) => <code>{secret.name}</code> },
            { label: "Created", cell: (secret) => <Ago at={secret.created_at} /> },
            { label: "Last set", cell: (secret) => <Ago at={secret.updated_at} /> },
            ...(mayChange
              ? [{ label: "Actions", quiet: true, cell: (secret: Secret) => deeds(secret.name, setEdited, setDropped) }]
              : []),
          ]}
        />
      )}
      <p class="soft">
        A template declares a secret by name and uses it as <code>{"{secret: name}"}</code>. Values are read anew at
        every start and blanked out of build logs.
      </p>
      {edited !== null && <SecretDialog name={edited} onClose={() => setEdited(null)} onDone={reload} />}
      {dropped !== null && (
        <Confirm
          title={`Delete ${dropped}?`}
          verb="Delete"
          act={() => request("DELETE", `/api/secrets/${encodeURIComponent(dropped)}`)}
          onDone={() => {
            toast(`${dropped} is deleted`);
            reload();
          }}
          onClose={() => setDropped(null)}
        >
          <p>
            Builds and launches whose template needs it fail until it is set again. Computers that run keep what they
            have.
          </p>
        </Confirm>
      )}
    </div>
  );
}

function NoSecrets() {
  return (
    <Empty title="No secrets yet">
      <p>Tokens and passwords that builds and computers need live here, out of templates and logs.</p>
    </Empty>
  );
}

function deeds(name: string, edit: (name: string) => void, drop: (name: string) => void) {
  return (
    <span class="row">
      <button class="button" onClick={() => edit(name)} aria-label={`Replace ${name}`}>
        Replace
      </button>
      <button class="button danger" onClick={() => drop(name)} aria-label={`Delete ${name}`}>
        Delete
      </button>
    </span>
  );
}

/** Adds a secret, or replaces the value of `name`. The server's warnings about the value stay to be read. */
function SecretDialog({ name: given, onClose, onDone }: { name: string; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState(given);
  const [secret, setSecret] = useState("");
  const [warnings, setWarnings] = useState<string[] | null>(null);
  const action = useAction();

  async function save(event: Event) {
    event.preventDefault();
    await action.run(async () => {
      const path = `/api/secrets/${encodeURIComponent(name)}`;
      const kept = await request<{ warnings: string[] }>("PUT", path, { json: { value: secret } });
      setSecret("");
      onDone();
      toast(`${name} is set`);
      if (kept.warnings.length > 0) setWarnings(kept.warnings);
      else onClose();
    });
  }

  if (warnings) {
    return (
      <Dialog title={`${name} is set, with a warning`} onClose={onClose}>
        <Note kind="warn">
          {warnings.map((warning) => (
            <p key={warning}>{warning}</p>
          ))}
        </Note>
        <footer class="dialog-foot">
          <button class="button" onClick={() => setWarnings(null)}>
            Set another value
          </button>
          <button class="button primary" onClick={onClose}>
            Keep it
          </button>
        </footer>
      </Dialog>
    );
  }
  return (
    <Dialog title={given ? `Replace ${given}` : "Add a secret"} onClose={onClose}>
      <form class="stack" autocomplete="off" onSubmit={(event) => void save(event)}>
        {!given && (
          <Field label="Name" hint="Lower-case letters, digits, inner - and _. As the template declares it.">
            <input
              required
              name="name"
              maxLength={64}
              spellcheck={false}
              value={name}
              onInput={(e) => setName(e.currentTarget.value)}
            />
          </Field>
        )}
        <Field label="Value" hint="It is encrypted at rest and cannot be read back here.">
          <textarea
            required
            name="value"
            class="mono concealed"
            rows={3}
            spellcheck={false}
            autocomplete="off"
            value={secret}
            onInput={(event) => setSecret(event.currentTarget.value)}
          />
        </Field>
        <Problem error={action.error} />
        <DialogFoot verb="Save" doing="Saving …" busy={action.busy} onClose={onClose} />
      </form>
    </Dialog>
  );
}
