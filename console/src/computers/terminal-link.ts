/** A terminal's connection: a login shell in the machine, shown by xterm.js. One link is one shell. */

import { signal } from "@preact/signals";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { computerPath } from "./changes";
import { refusalIn } from "./closing";
import { socketAddress } from "./leave-keys";

export type TerminalState = { state: "connecting" } | { state: "open" } | { state: "ended"; why: string };

// The same in light and dark: programs that colour their output expect a dark ground.
const THEME = { background: "#131416", foreground: "#e8e9ea", cursor: "#f0994a", selectionBackground: "#4a525c" };
const NORMAL = 1000;
const RESTART = 1012;

export class TerminalLink {
  readonly state = signal<TerminalState>({ state: "connecting" });
  private readonly terminal: Terminal;
  private readonly fit = new FitAddon();
  private readonly socket: WebSocket;
  private readonly watcher: ResizeObserver;

  constructor(
    private readonly place: HTMLElement,
    computerId: string,
    readsAloud: boolean,
  ) {
    this.terminal = new Terminal({
      theme: THEME,
      fontFamily: getComputedStyle(place).getPropertyValue("--mono"),
      fontSize: 14,
      lineHeight: 1.2, // at 1 the underscores of some fonts are cut off
      scrollback: 10_000,
      cursorBlink: false,
      screenReaderMode: readsAloud,
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.open(place);
    this.fit.fit();
    const { cols, rows } = this.terminal;
    this.socket = new WebSocket(socketAddress(`${computerPath(computerId)}/terminal?cols=${cols}&rows=${rows}`));
    this.socket.binaryType = "arraybuffer";
    this.carry();
    this.watcher = new ResizeObserver(() => this.fit.fit());
    this.watcher.observe(place);
  }

  readAloud(wanted: boolean): void {
    this.terminal.options.screenReaderMode = wanted;
  }

  /** Ends the shell, and everything in it. */
  close(): void {
    this.watcher.disconnect();
    this.socket.onclose = null;
    this.socket.close();
    this.terminal.dispose();
  }

  private carry(): void {
    const { socket, terminal } = this;
    const encoder = new TextEncoder();
    const send = (data: string | Uint8Array<ArrayBuffer>) => socket.readyState === WebSocket.OPEN && socket.send(data);
    terminal.onData((text) => send(encoder.encode(text)));
    terminal.onBinary((text) => send(Uint8Array.from(text, (char) => char.charCodeAt(0))));
    terminal.onResize(({ cols, rows }) => send(JSON.stringify({ resize: { cols, rows } })));
    socket.onopen = () => isFree(this.place) && terminal.focus();
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      if (this.state.value.state !== "open") this.state.value = { state: "open" }; // it is not refused
      terminal.write(new Uint8Array(data));
    };
    socket.onclose = (event) => {
      const wasOpen = this.state.value.state === "open";
      terminal.options.disableStdin = true;
      this.state.value = { state: "ended", why: whyOf(event, wasOpen) };
    };
  }
}

/** Whether the keyboard may go to the terminal: not from somebody who walks the tabs with it, or types elsewhere. */
function isFree(place: HTMLElement): boolean {
  const holder = document.activeElement;
  return !holder?.matches(":focus-visible") || place.closest("[role=tabpanel]")?.contains(holder) === true;
}

function whyOf(closing: CloseEvent, wasOpen: boolean): string {
  const { code, reason } = closing;
  const refusal = refusalIn(closing);
  const status = /^exited (-?\d+)$/.exec(reason)?.[1];
  if (code === NORMAL && status) return status === "0" ? "The shell ended." : `The shell ended with status ${status}.`;
  if (code === NORMAL) return "The computer ended the terminal.";
  if (refusal !== null) return refusal.why;
  if (code === RESTART) return "The server ends; it may be back in a moment.";
  if (!wasOpen) return "The terminal could not be opened: the server does not answer.";
  return "The connection broke off, and the shell ended with it.";
}
