import { useState } from "preact/hooks";
import { request } from "../api/client";
import type { Key } from "../api/types";
import { may, session } from "../session";
import { Confirm } from "../ui/dialog";
import { Note } from "../ui/form";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading } from "../ui/states";
import { Table } from "../ui/table";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";
import { toast } from "../ui/toast";
import { NewKey } from "./new-key";

/** Who may call the server, and with what rights. */
export default function Keys() {
  useTitle("Keys");
  const { value, error, reload } = usePoll(
    (signal) => request<{ keys: Key[] }>("GET", "/api/keys", { signal }),
    30_000,
  );
  const [making, setMaking] = useState(false);
  const [revoked, setRevoked] = useState<Key | null>(null);
  if (!may("admin")) return <NotForThisKey />;
  return (
    <div class="page">
      <header class="page-head">
        <h1>Keys</h1>
        <button class="button primary" onClick={() => setMaking(true)}>
          Create a key
        </button>
      </header>
      {value ? (
        <KeyTable keys={value.keys} revoke={setRevoked} />
      ) : error ? (
        <Failed error={error} retry={reload} />
      ) : (
        <Loading what="the keys" />
      )}
      {making && <NewKey onMade={reload} onClose={() => setMaking(false)} />}
      {revoked && (
        <Revoke
          revoked={revoked}
          onClose={() => setRevoked(null)}
          onDone={() => {
            toast(`${revoked.name} is revoked`);
            reload();
          }}
        />
      )}
    </div>
  );
}

/** The page of an address that the key's scopes do not open. */
export function NotForThisKey() {
  return (
    <div class="page">
      <Empty title="This key may not see that">
        <p>The page needs the scope admin. Sign in with a key that has it.</p>
      </Empty>
    </div>
  );
}

function KeyTable({ keys, revoke }: { keys: Key[]; revoke: (key: Key) => void }) {
  const sorted = [...keys].sort((one, other) => Number(Boolean(one.revoked_at)) - Number(Boolean(other.revoked_at)));
  return (
    <Table
      caption="Keys of this account"
      rows={sorted}
      keyOf={(key) => key.id}
      columns={[
        { label: "Name", cell: (key) => <KeyName shown={key} /> },
        { label: "Begins with", cell: (key) => <code>{key.prefix}…</code> },
        { label: "Scopes", cell: (key) => key.scopes.join(", ") },
        { label: "Created", cell: (key) => <Ago at={key.created_at} /> },
        {
          label: "Last used",
          cell: (key) => (key.last_used_at ? <Ago at={key.last_used_at} /> : <span class="soft">never</span>),
        },
        {
          label: "Actions",
          quiet: true,
          cell: (key) =>
            key.revoked_at ? (
              <span class="soft">
                revoked <Ago at={key.revoked_at} />
              </span>
            ) : (
              <button class="button danger" onClick={() => revoke(key)} aria-label={`Revoke ${key.name}`}>
                Revoke
              </button>
            ),
        },
      ]}
    />
  );
}

function KeyName({ shown }: { shown: Key }) {
  return (
    <span class="row">
      <span>{shown.name}</span>
      {shown.id === session.value?.key.id && <span class="badge ok">this session's</span>}
    </span>
  );
}

function Revoke({ revoked, onClose, onDone }: { revoked: Key; onClose: () => void; onDone: () => void }) {
  return (
    <Confirm
      title={`Revoke ${revoked.name}?`}
      verb="Revoke"
      act={() => request("DELETE", `/api/keys/${encodeURIComponent(revoked.id)}`)}
      onDone={onDone}
      onClose={onClose}
    >
      <p>
        Whatever uses this key is refused at once, and its open streams, screens and sessions end. This cannot be
        undone.
      </p>
      {revoked.id === session.value?.key.id && (
        <Note kind="bad">
          <p>You are signed in with this very key: you will be signed out. Make sure that you have another one.</p>
        </Note>
      )}
    </Confirm>
  );
}
