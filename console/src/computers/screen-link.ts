/** A screen's connection: opens noVNC in an element, tells how it stands, and comes back after a break. */

import RFB from "@novnc/novnc";
import { signal } from "@preact/signals";
import type { Computer } from "../api/types";
import { computerPath } from "./changes";
import { refusalIn } from "./closing";
import { socketAddress } from "./leave-keys";
import { SHIFT, strokesOf } from "./strokes.ts";

export type ScreenState =
  { state: "connecting" } | { state: "shown" } | { state: "lost"; why: string } | { state: "refused"; why: string };

const RETRIES_MS = [500, 1000, 2000, 4000, 8000];
/** A keyboard's buffer holds 16 bytes and drops what a busy machine leaves no room for: 3 of a key, 6 with Shift. */
const STROKE_MS = 50;
const SHIFTED_MS = 100;
const BROKE_OFF = "The connection to the screen broke off.";

export class ScreenLink {
  readonly state = signal<ScreenState>({ state: "connecting" });
  /** How many characters of a text are yet to be typed. */
  readonly untyped = signal(0);
  private rfb: RFB | null = null;
  private tries = 0;
  private timer = 0;
  private fits = true;

  constructor(
    private readonly place: HTMLElement,
    private readonly computer: Computer,
  ) {
    this.open();
  }

  /** Connects now, whatever waits. */
  reconnect(): void {
    this.tries = 0;
    this.open();
  }

  close(): void {
    clearTimeout(this.timer);
    this.untyped.value = 0;
    const rfb = this.rfb;
    this.rfb = null;
    rfb?.disconnect();
  }

  scale(fits: boolean): void {
    this.fits = fits;
    if (this.rfb) this.rfb.scaleViewport = fits;
  }

  pressCtrlAltDel(): void {
    this.rfb?.sendCtrlAltDel();
  }

  /** Types a text as if by hand; the screen's own clipboard needs an agent in the machine. */
  async type(text: string): Promise<void> {
    const strokes = strokesOf(text);
    this.untyped.value = strokes.length;
    for (const { keysym, shift } of strokes) {
      if (this.rfb === null || this.untyped.value === 0) return;
      if (shift) this.rfb.sendKey(SHIFT, null, true);
      this.rfb.sendKey(keysym, null);
      if (shift) this.rfb.sendKey(SHIFT, null, false);
      this.untyped.value -= 1;
      await new Promise((resolve) => setTimeout(resolve, shift ? SHIFTED_MS : STROKE_MS));
    }
  }

  stopTyping(): void {
    this.untyped.value = 0;
  }

  private open(): void {
    this.close();
    this.place.replaceChildren();
    this.state.value = { state: "connecting" };
    const socket = new WebSocket(socketAddress(`${computerPath(this.computer.id)}/vnc`), "binary");
    let closing: CloseEvent | null = null;
    socket.addEventListener("close", (event) => (closing = event)); // comes before noVNC's own
    const rfb = new RFB(this.place, socket, {
      credentials: { username: "", password: this.computer.vnc_password ?? "", target: "" },
      shared: true,
    });
    this.rfb = rfb;
    rfb.scaleViewport = this.fits;
    rfb.background = "transparent";
    rfb.addEventListener("connect", () => {
      this.tries = 0;
      this.state.value = { state: "shown" };
    });
    rfb.addEventListener("securityfailure", () => {
      this.state.value = { state: "refused", why: "The screen did not take this computer's password." };
    });
    rfb.addEventListener("disconnect", () => this.onEnd(rfb, closing));
  }

  private onEnd(rfb: RFB, closing: CloseEvent | null): void {
    if (this.rfb !== rfb) return;
    this.untyped.value = 0;
    if (this.state.value.state === "refused") return;
    const { why, passes } = (closing && refusalIn(closing)) ?? { why: BROKE_OFF, passes: true };
    const pause = passes ? RETRIES_MS[this.tries++] : undefined;
    if (pause === undefined) {
      this.state.value = { state: "refused", why };
    } else {
      this.state.value = { state: "lost", why: `${why} Trying again …` };
      this.timer = window.setTimeout(() => this.open(), pause);
    }
  }
}
