// Reads a stream with the package eventsource, which reconnects by itself, to the terminal frame.
import { EventSource } from "eventsource";

const [url, key] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } }),
});
source.onmessage = (event) => {
  console.log(JSON.stringify([event.lastEventId, event.data]));
  if (JSON.parse(event.data).result) source.close();
};
