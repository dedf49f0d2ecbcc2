import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEPT = "ingot-theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

export const theme = signal<Theme>(kept());

effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
  localStorage.setItem(KEPT, theme.value);
});

export function cycleTheme(): void {
  theme.value = NEXT[theme.value];
}

function kept(): Theme {
  const value = localStorage.getItem(KEPT);
  return value === "light" || value === "dark" ? value : "system";
}
