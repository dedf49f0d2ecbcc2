import { useEffect } from "preact/hooks";

/** The page's name in the browser's tab and history. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Ingot`;
    return () => {
      document.title = "Ingot";
    };
  }, [title]);
}
