import { useEffect, useMemo } from "preact/hooks";
import { useParams } from "wouter-preact";
import { LogView, openLog } from "../log";

export default function Build() {
  const { namespace, name, version } = useParams<{ namespace: string; name: string; version: string }>();
  const attempt = Number(new URLSearchParams(location.search).get("attempt")) || null;
  const ref = `${namespace}/${name}@${version}`;
  const log = useMemo(() => openLog(attempt === null ? { ref } : { ref, attempt }), [ref, attempt]);
  useEffect(() => () => log.close(), [log]);
  return <LogView log={log} />;
}
