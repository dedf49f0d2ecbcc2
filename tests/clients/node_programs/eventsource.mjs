// Reads a stream with the package eventsource, which reconnects by itself, to the terminal frame; with a third
// argument until the server says that nothing more will come.
import { EventSource } from "eventsource";

const [url, key, stay] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } }),
});
source.onmessage = (event) => {
  console.log(JSON.stringify([event.lastEventId, event.data]));
  if (!stay && JSON.parse(event.data).result) source.close();
};
source.onerror = (event) => {
  if (source.readyState === EventSource.CLOSED && event.code !== 204) throw new Error(`status ${event.code}`);
};
