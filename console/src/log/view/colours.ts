/** Styles → CSS, readable on the console's light and dark ground whatever a program chose. Pure. */

import type { Colour, Style } from "./sgr.ts";

type Rgb = readonly [red: number, green: number, blue: number];

export type Css = { color?: string; backgroundColor?: string };

const LEAST_CONTRAST = 4.5;
const THEMES = [
  { text: [28, 29, 31], ground: [255, 255, 255], towards: [0, 0, 0] },
  { text: [232, 233, 234], ground: [27, 29, 32], towards: [255, 255, 255] },
] as const satisfies readonly { text: Rgb; ground: Rgb; towards: Rgb }[];
const NAMED: readonly Rgb[] = [
  [0, 0, 0],
  [187, 0, 0],
  [0, 150, 0],
  [160, 110, 0],
  [30, 80, 220],
  [170, 0, 170],
  [0, 140, 150],
  [190, 190, 190],
  [110, 110, 110],
  [255, 80, 80],
  [60, 200, 80],
  [220, 190, 50],
  [100, 140, 255],
  [230, 100, 230],
  [70, 200, 210],
  [255, 255, 255],
];
const made = new Map<string, Css>();

/** The colours of a style; the same object for the same style. */
export function cssOf(style: Style): Css {
  const key = `${style.fore},${style.back},${style.inverse},${style.dim}`;
  let css = made.get(key);
  if (css === undefined) {
    if (made.size > 5000) made.clear();
    css = make(style);
    made.set(key, css);
  }
  return css;
}

function make(style: Style): Css {
  if (style.fore === null && style.back === null && !style.inverse && !style.dim) return {};
  const [light, dark] = THEMES.map((theme) => {
    let fore = style.fore === null ? theme.text : rgbOf(style.fore);
    let back = style.back === null ? theme.ground : rgbOf(style.back);
    if (style.inverse) [fore, back] = [back, fore];
    if (style.dim) fore = mixed(fore, back, 0.35);
    return { fore: readable(fore, back), back };
  }) as [{ fore: Rgb; back: Rgb }, { fore: Rgb; back: Rgb }];
  const css: Css = { color: `light-dark(${hex(light.fore)}, ${hex(dark.fore)})` };
  if (style.back !== null || style.inverse) css.backgroundColor = `light-dark(${hex(light.back)}, ${hex(dark.back)})`;
  return css;
}

/** The colour, or the nearest on the way to black or white that can be read on `back`. */
export function readable(fore: Rgb, back: Rgb): Rgb {
  const towards: Rgb = contrast([0, 0, 0], back) > contrast([255, 255, 255], back) ? [0, 0, 0] : [255, 255, 255];
  for (let share = 0; share < 1; share += 0.05) {
    const tried = mixed(fore, towards, share);
    if (contrast(tried, back) >= LEAST_CONTRAST) return tried;
  }
  return towards;
}

export function contrast(one: Rgb, other: Rgb): number {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

export function rgbOf(colour: NonNullable<Colour>): Rgb {
  if (colour >= 256) return [((colour - 256) >> 16) & 255, ((colour - 256) >> 8) & 255, (colour - 256) & 255];
  if (colour < 16) return NAMED[colour]!;
  if (colour >= 232) return Array(3).fill(8 + (colour - 232) * 10) as unknown as Rgb;
  const cube = colour - 16;
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((part) =>
    part === 0 ? 0 : 55 + part * 40,
  ) as unknown as Rgb;
}

function luminance(colour: Rgb): number {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function mixed(one: Rgb, other: Rgb, share: number): Rgb {
  return one.map((part, place) => Math.round(part + (other[place]! - part) * share)) as unknown as Rgb;
}

function hex(colour: Rgb): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
