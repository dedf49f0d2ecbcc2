import type { ComponentChildren } from "preact";

/** A part of the side that folds away. */
export function SidePart(props: {
  title: string;
  open?: boolean;
  note?: string | undefined;
  children: ComponentChildren;
}) {
  return (
    <details class="side-part" open={props.open}>
      <summary>
        <h2>{props.title}</h2>
        {props.note && <span class="soft">{props.note}</span>}
      </summary>
      <div class="side-content">{props.children}</div>
    </details>
  );
}
