import { useState } from "preact/hooks";
import type { Computer } from "../api/types";
import { useAction, wordsOf } from "../ui/action";
import { Confirm, Dialog, DialogFoot } from "../ui/dialog";
import { Field, Note, Problem } from "../ui/form";
import type { Choice } from "../ui/menu";
import { toast } from "../ui/toast";
import { barred, change, clone, remove, type Change } from "./changes";

export interface Deeds {
  choices: Choice[];
  /** The dialog that is open, if one is. */
  dialog: preact.JSX.Element | null;
}

interface Then {
  onChanged: () => void;
  onCloned: (made: Computer) => void;
  onDeleted: () => void;
}

const VERBS: readonly [Change, string][] = [
  ["start", "Start"],
  ["stop", "Stop"],
  ["restart", "Restart"],
];

/** Start, stop, restart, clone, delete: as choices of a menu, with the dialogs that some of them open. */
export function useDeeds(computer: Computer, then: Then): Deeds {
  const [asked, setAsked] = useState<"clone" | "delete" | null>(null);
  const close = () => setAsked(null);

  function ask(what: Change) {
    change(computer, what)
      .catch((error: unknown) => toast(wordsOf(error), "bad"))
      .finally(then.onChanged);
    then.onChanged();
  }

  const choices: Choice[] = [
    ...verbsOf(computer).map(([what, label]) => ({ label, barred: barred(computer, what), act: () => ask(what) })),
    { label: "Clone …", barred: isMoving(computer), act: () => setAsked("clone") },
    { label: "Delete …", danger: true, act: () => setAsked("delete") },
  ];
  const dialog =
    asked === "clone" ? (
      <CloneDialog computer={computer} onCloned={then.onCloned} onClose={close} />
    ) : asked === "delete" ? (
      <DeleteDialog computer={computer} onDeleted={then.onDeleted} onClose={close} />
    ) : null;
  return { choices, dialog };
}

/** A test run cannot be stopped: it goes when it is idle. */
function verbsOf(computer: Computer): typeof VERBS {
  return computer.test_run ? [] : VERBS;
}

function isMoving(computer: Computer): string | false {
  return ["running", "stopped"].includes(computer.status)
    ? false
    : `It is ${computer.status}: wait until that is done.`;
}

function CloneDialog({
  computer,
  onCloned,
  onClose,
}: {
  computer: Computer;
  onCloned: Then["onCloned"];
  onClose: () => void;
}) {
  const [name, setName] = useState(`${computer.name}-clone`.slice(0, 200));
  const action = useAction();
  async function make(event: Event) {
    event.preventDefault();
    await action.run(async () => {
      const made = await clone(computer, name.trim());
      toast(`${made.name} is made`);
      onClose();
      onCloned(made);
    });
  }
  return (
    <Dialog title={`Clone ${computer.name}`} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void make(event)}>
        <div class="dialog-body">
          <p>
            The clone has this computer's files as they are now, and an id, a host name and a screen password of its
            own. What runs here stands still while the files are copied; nothing in it ends.
          </p>
        </div>
        <Field label="Name of the clone">
          <input name="name" maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
        <Problem error={action.error} />
        <DialogFoot verb="Clone" doing="Cloning …" busy={action.busy} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function DeleteDialog({
  computer,
  onDeleted,
  onClose,
}: {
  computer: Computer;
  onDeleted: () => void;
  onClose: () => void;
}) {
  return (
    <Confirm
      title={`Delete ${computer.name}?`}
      verb="Delete"
      act={() => remove(computer)}
      onDone={() => {
        toast(`${computer.name} is deleted`);
        onDeleted();
      }}
      onClose={onClose}
    >
      <p>The computer ends, whatever it does, and all its files go with it. This cannot be undone.</p>
      {computer.status === "running" && (
        <Note kind="warn">
          <p>It runs. To keep its files, stop it instead.</p>
        </Note>
      )}
    </Confirm>
  );
}
