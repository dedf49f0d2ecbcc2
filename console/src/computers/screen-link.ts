/** A screen's connection: opens noVNC in an element, tells how it stands, and comes back after a break. */

import RFB from "@novnc/novnc";
import { signal } from "@preact/signals";
import type { Computer } from "../api/types";
import { computerPath } from "./changes";
import { socketAddress } from "./leave-keys";

export type ScreenState =
  { state: "connecting" } | { state: "shown" } | { state: "lost"; why: string } | { state: "refused"; why: string };

const RETRIES_MS = [500, 1000, 2000, 4000, 8000];
const RETURN = 0xff0d;

export class ScreenLink {
  readonly state = signal<ScreenState>({ state: "connecting" });
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
  type(text: string): void {
    for (const char of text.replaceAll("\r\n", "\n")) this.rfb?.sendKey(keysymOf(char), null);
  }

  private open(): void {
    this.close();
    this.place.replaceChildren();
    this.state.value = { state: "connecting" };
    const address = socketAddress(`${computerPath(this.computer.id)}/vnc`);
    const rfb = new RFB(this.place, address, {
      credentials: { username: "", password: this.computer.vnc_password ?? "", target: "" },
      wsProtocols: ["binary"],
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
    rfb.addEventListener("disconnect", () => this.onEnd(rfb));
  }

  private onEnd(rfb: RFB): void {
    if (this.rfb !== rfb || this.state.value.state === "refused") return;
    const pause = RETRIES_MS[this.tries];
    this.tries += 1;
    if (pause === undefined) {
      this.state.value = { state: "refused", why: "The screen does not answer. It may have 8 viewers already." };
      return;
    }
    this.state.value = { state: "lost", why: "The connection to the screen broke off. Trying again …" };
    this.timer = window.setTimeout(() => this.open(), pause);
  }
}

function keysymOf(char: string): number {
  if (char === "\n") return RETURN;
  const code = char.codePointAt(0) ?? 0;
  return code < 0x100 ? code : 0x0100_0000 + code;
}
