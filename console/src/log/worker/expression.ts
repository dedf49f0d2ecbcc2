/** What an expression finds in lines. Pure. */

/** Which lines of a text fit an expression, or where in each it is? A line break ends each line. */
export interface Question {
  source: string;
  flags: string;
  wanted: "lines" | "places";
  text: Uint8Array<ArrayBuffer>;
}

/** Numbers of lines; or of each line: from, to, from, to … */
export type Answer = Uint32Array | Uint32Array[];

const MOST_PLACES = 100;
const DECODER = new TextDecoder();

export function answerTo({ source, flags, wanted, text }: Question): Answer {
  const lines = DECODER.decode(text).split("\n");
  lines.pop();
  return wanted === "lines"
    ? fitting(lines, new RegExp(source, flags))
    : placesIn(lines, new RegExp(source, `${flags}g`));
}

function fitting(lines: string[], expression: RegExp): Uint32Array {
  const numbers: number[] = [];
  lines.forEach((line, number) => expression.test(line) && numbers.push(number));
  return Uint32Array.from(numbers);
}

function placesIn(lines: string[], expression: RegExp): Uint32Array[] {
  return lines.map((line) => {
    const places: number[] = [];
    for (const { 0: found, index } of line.matchAll(expression)) {
      if (found !== "") places.push(index, index + found.length);
      if (places.length >= 2 * MOST_PLACES) break;
    }
    return Uint32Array.from(places);
  });
}
