// Text on its way to a terminal: what a model, a judge or a server wrote must not steer it, and a line must not wrap.

/** Controls, formats (of direction, too), surrogates, private and unassigned characters, and line separators but the line feed. */
const STEERING = /[^\P{C}\n\t]|[\u2028\u2029]/gu;
/** They only choose how the character before them looks. */
const SELECTORS = /[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;

/** The text with a dot for each character that a terminal might obey; lines stay lines. */
export const harmless = (text: string): string => text.replace(SELECTORS, "").replace(STEERING, "·");

/** The same in one line. */
export const inOneLine = (text: string): string =>
  harmless(text)
    .replace(/\t/g, " ")
    .replace(/\s*\n\s*/g, " ⏎ ")
    .trim();

const WIDE = /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\uffef\u{1f000}-\u{1faff}\u{20000}-\u{3ffff}]/u;

/** Columns of a character: rather too many than too few. */
const columnsOf = (character: string): number =>
  /^[\p{Mn}\p{Me}]$/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;

/** Columns of a line without escape sequences. */
export const widthOf = (line: string): number =>
  [...line].reduce((sum, character) => sum + columnsOf(character), 0);

/** The beginning of a line that fits, with "…" in place of the rest. */
export function cutTo(line: string, width: number): string {
  if (widthOf(line) <= width) return line;
  let kept = "";
  let used = 0;
  for (const character of line) {
    const columns = columnsOf(character);
    if (used + columns > width - 1) break;
    kept += character;
    used += columns;
  }
  return width < 1 ? "" : `${kept.trimEnd()}…`;
}

/** As many of the parts as cutTo, behind the first one: none is cut as long as the first fits. */
export function fitParts(parts: readonly string[], width: number, separator = " · "): string {
  let line = parts[0] ?? "";
  for (const part of parts.slice(1)) {
    const longer = line + separator + part;
    if (widthOf(longer) > width) continue;
    line = longer;
  }
  return cutTo(line, width);
}

/** A text in lines of a width, cut between words where that can be; of more than `count` lines the last ends with "…". */
export function wrap(text: string, width: number, count: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest !== "" && lines.length < count) {
    if (lines.length === count - 1 || widthOf(rest) <= width) {
      lines.push(cutTo(rest, width));
      break;
    }
    let end = 0;
    let used = 0;
    for (const character of rest) {
      used += columnsOf(character);
      if (used > width) break;
      end += character.length;
    }
    const space = rest.lastIndexOf(" ", end);
    const at = space > end / 2 ? space : Math.max(end, 1);
    lines.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  return lines;
}
