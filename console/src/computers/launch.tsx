import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { request } from "../api/client";
import type { Computer, Item } from "../api/types";
import { useAction } from "../ui/action";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Field, Problem } from "../ui/form";
import { usePoll } from "../ui/poll";

interface Wish {
  name: string;
  cpu: string;
  ram: string;
  disk_size_gb: string;
  auto_stop_minutes: string;
}

const NUMBERS: readonly [keyof Wish, string, string, string][] = [
  ["cpu", "CPUs", "0.5", "0.5"],
  ["ram", "Memory, GiB", "1", "1"],
  ["disk_size_gb", "Disk, GiB", "1", "1"],
];

/** Makes a computer and goes to its page. What is left empty is as the template says. */
export function LaunchDialog({ template, onClose }: { template?: string; onClose: () => void }) {
  const [ref, setRef] = useState(template ?? "");
  const [wish, setWish] = useState<Wish>({ name: "", cpu: "", ram: "", disk_size_gb: "", auto_stop_minutes: "" });
  const action = useAction();
  const [, navigate] = useLocation();
  const set = (field: keyof Wish) => (event: Event) =>
    setWish({ ...wish, [field]: (event.currentTarget as HTMLInputElement).value });

  async function launch(event: Event) {
    event.preventDefault();
    await action.run(async () => {
      const made = await request<Computer>("POST", "/api/computers", { json: bodyOf(ref, wish), timeout: 120_000 });
      navigate(`/computers/${made.id}`);
    });
  }

  return (
    <Dialog title={template ? `Launch ${template}` : "Launch a computer"} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void launch(event)}>
        {!template && <TemplateChoice chosen={ref} choose={setRef} />}
        <Field label="Name" hint="Left empty it is the template's.">
          <input name="name" maxLength={200} value={wish.name} onInput={set("name")} />
        </Field>
        <div class="fields">
          {NUMBERS.map(([field, label, min, step]) => (
            <Field key={field} label={label}>
              <input
                type="number"
                name={field}
                min={min}
                step={step}
                placeholder="as the template"
                value={wish[field]}
                onInput={set(field)}
              />
            </Field>
          ))}
        </div>
        <Field label="Stop by itself" hint="Counted from the last command, viewer or terminal. Its files are kept.">
          <select name="auto_stop_minutes" value={wish.auto_stop_minutes} onChange={set("auto_stop_minutes")}>
            <option value="">as the template says</option>
            <option value="0">never</option>
            <option value="15">after 15 idle minutes</option>
            <option value="60">after an idle hour</option>
            <option value="480">after 8 idle hours</option>
          </select>
        </Field>
        <Problem error={action.error} />
        <DialogFoot verb="Launch" doing="Launching …" busy={action.busy} onClose={onClose} />
      </form>
    </Dialog>
  );
}

/** The templates that have a golden; others cannot be launched. */
function TemplateChoice({ chosen, choose }: { chosen: string; choose: (ref: string) => void }) {
  const { value, error } = usePoll(
    (signal) => request<{ templates: Item[] }>("GET", "/api/templates", { query: { builds: true }, signal }),
    null,
  );
  const ready = value?.templates.filter((item) => item.build?.golden_dir);
  const hint =
    ready?.length === 0 ? "No template is ready: build one first." : "Those with a golden snapshot can be launched.";
  return (
    <>
      <Field label="Template" hint={hint}>
        <select required name="template" value={chosen} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">{ready ? "Choose …" : "Loading …"}</option>
          {ready?.map((item) => (
            <option key={item.ref}>{item.ref}</option>
          ))}
        </select>
      </Field>
      <Problem error={error} />
    </>
  );
}

function bodyOf(ref: string, wish: Wish): Record<string, unknown> {
  const { name, ...numbers } = wish;
  const given = Object.entries(numbers).filter(([, text]) => text !== "");
  return {
    template_ref: ref,
    name: name.trim(),
    ...Object.fromEntries(given.map(([field, text]) => [field, Number(text)])),
  };
}
