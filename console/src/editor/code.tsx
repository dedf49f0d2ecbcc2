import { indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { indentUnit } from "@codemirror/language";
import { lintGutter, previousDiagnostic, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";
import type { MutableRef } from "preact/hooks";
import { useEffect, useRef } from "preact/hooks";
import type { Problem } from "../api/types";
import { assist } from "./assist";
import { codeTheme } from "./code-theme";
import type { Schema } from "./schema";
import "./code.css";

/** What the page around may ask of the editor. */
export interface CodeHandle {
  goTo: (problem: Problem) => void;
  /** Puts another text in place; one step of undo. */
  replace: (text: string) => void;
}

interface CodeProps {
  value: string;
  label: string;
  readOnly?: boolean;
  onChange?: (text: string) => void;
  problems?: readonly Problem[];
  schema?: Schema | undefined;
  handle?: MutableRef<CodeHandle | null>;
}

/** A text in YAML, to read or to write. `value` is what it starts with; another one replaces the text. */
export default function Code({ value, label, readOnly = false, onChange, problems = [], schema, handle }: CodeProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const assistance = useRef(new Compartment());
  const changed = useRef(onChange);
  changed.current = onChange;

  useEffect(() => {
    const made = new EditorView({
      parent: place.current!,
      doc: value,
      extensions: [
        basicSetup,
        yaml(),
        indentUnit.of("  "),
        codeTheme,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label }),
        assistance.current.of([]),
        readOnly
          ? [EditorState.readOnly.of(true), EditorView.contentAttributes.of({ tabindex: "0" })]
          : writing(changed),
      ],
    });
    view.current = made;
    if (handle) handle.current = { goTo: (problem) => goTo(made, problem), replace: (text) => replace(made, text) };
    return () => made.destroy();
  }, []);

  useEffect(() => {
    if (readOnly && view.current && view.current.state.doc.toString() !== value) replace(view.current, value);
  }, [value]);
  useEffect(() => {
    view.current?.dispatch({ effects: assistance.current.reconfigure(schema ? assist(schema) : []) });
    place.current!.dataset["helps"] = String(schema !== undefined);
  }, [schema]);
  useEffect(() => {
    const editor = view.current;
    if (editor && !readOnly)
      editor.dispatch(
        setDiagnostics(
          editor.state,
          problems.map((problem) => mark(editor, problem)),
        ),
      );
  }, [problems]);

  return <div class="code" ref={place} />;
}

/** Tab indents; Escape and then Tab leaves, as CodeMirror has it. F8 walks the problems. */
function writing(changed: MutableRef<((text: string) => void) | undefined>) {
  return [
    keymap.of([indentWithTab, { key: "Shift-F8", run: previousDiagnostic }]),
    lintGutter(),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) changed.current?.(update.state.doc.toString());
    }),
  ];
}

function mark(view: EditorView, problem: Problem): Diagnostic {
  const [from, to] = rangeOf(view, problem);
  const message = problem.hint ? `${problem.message}; ${problem.hint}` : problem.message;
  return { from, to, severity: "error", source: problem.field || problem.code, message };
}

/** The word that a problem is about; the first line where the server names none. */
function rangeOf(view: EditorView, problem: Problem): [number, number] {
  const { doc } = view.state;
  const line = doc.line(Math.min(Math.max(problem.line ?? 1, 1), doc.lines));
  const from = Math.min(line.from + (problem.column ?? 1) - 1, line.to);
  const word = /^("[^"]*"|'[^']*'|[^\s:,}\]]+)/.exec(line.text.slice(from - line.from))?.[0].length ?? 0;
  return [from, Math.min(from + Math.max(word, 1), line.to)];
}

function goTo(view: EditorView, problem: Problem): void {
  const [from, to] = rangeOf(view, problem); // selected whole, as F8 does, which goes on from its end
  view.dispatch({ selection: { anchor: from, head: to }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
  view.focus();
}

function replace(view: EditorView, text: string): void {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}
