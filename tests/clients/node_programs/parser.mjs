// Reads a stream with eventsource-parser and prints each event as a line of JSON.
import { createParser } from "eventsource-parser";

const [url, key] = process.argv.slice(2);
const parser = createParser({
  onEvent: (event) => console.log(JSON.stringify([event.id, event.data])),
  onError: (error) => { throw error; },
});
const response = await fetch(url, { headers: { Authorization: `Bearer ${key}` } });
if (response.status !== 200) throw new Error(`status ${response.status}`);
const decoder = new TextDecoder();
for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }));
