// The published types are those of the package's inner file; the package itself exports that file as its root.
declare module "@novnc/novnc" {
  export { default } from "@novnc/novnc/core/rfb";
}
