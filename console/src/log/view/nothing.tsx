import { Empty, Loading } from "../../ui/states";
import type { PageLog } from "../page-log";

/** What stands where the first line will be. */
export function Nothing({ log }: { log: PageLog }) {
  const connection = log.connection.value;
  if (connection.state === "refused") {
    return (
      <Empty title="The log is not shown">
        <p>{connection.message}</p>
      </Empty>
    );
  }
  if (connection.state === "ended") return <Empty title="This log has no lines" />;
  if (connection.state === "live" || connection.state === "parked")
    return <Empty title="Waiting for the first line …" />;
  return <Loading what="the log" />;
}
