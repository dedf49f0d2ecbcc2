import { useState } from "preact/hooks";
import "./chart.css";

export interface Point {
  /** Milliseconds. */
  at: number;
  value: number;
}

interface ChartProps {
  title: string;
  /** What it is now, in words. */
  now: string;
  points: readonly Point[];
  /** The top of the scale; the largest value where it is not given. */
  top?: number;
  words: (value: number) => string;
}

const WIDTH = 320;
const HEIGHT = 88;
const HOUR_MS = 3_600_000;

/** A line over the last hour. What the pointer is at is told in words, and so is the whole for who does not see it. */
export function Chart({ title, now, points, top, words }: ChartProps) {
  const [pointed, setPointed] = useState<Point | null>(null);
  const end = points.at(-1)?.at ?? Date.now();
  const most = Math.max(...points.map((point) => point.value), 0);
  const scale = Math.max(top ?? most, most, Number.MIN_VALUE);
  const place = (point: Point): [number, number] => [
    WIDTH * (1 - (end - point.at) / HOUR_MS),
    HEIGHT - 1 - (HEIGHT - 2) * (point.value / scale),
  ];
  const line = points
    .map((point) =>
      place(point)
        .map((number) => number.toFixed(1))
        .join(","),
    )
    .join(" ");
  const first = points[0] ? place(points[0])[0].toFixed(1) : "0";

  function point(event: PointerEvent) {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const time = end - HOUR_MS * (1 - (event.clientX - box.left) / box.width);
    setPointed(
      points.reduce((best, each) => (Math.abs(each.at - time) < Math.abs(best.at - time) ? each : best), points[0]!),
    );
  }

  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="chart-now">{pointed ? words(pointed.value) : now}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title} over the last hour: now ${now}, at most ${words(most)}`}
        onPointerMove={points.length > 0 ? point : undefined}
        onPointerLeave={() => setPointed(null)}
      >
        {points.length > 1 && <polygon points={`${first},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />}
        {points.length > 1 && <polyline points={line} />}
        {pointed && <line x1={place(pointed)[0]} x2={place(pointed)[0]} y1="0" y2={HEIGHT} />}
      </svg>
      <div class="chart-feet soft">
        <span>1 h ago</span>
        <span>{pointed ? new Date(pointed.at).toLocaleTimeString() : `top ${words(scale)}`}</span>
        <span>now</span>
      </div>
    </figure>
  );
}
