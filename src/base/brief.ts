/** Text from outside for a sentence: on one line, and no longer than a sentence may be. */
export function brief(text: string, length = 200): string {
  const line = text
    .slice(0, 4 * length)
    .replace(/\s+/g, " ")
    .trim();
  return line.length > length || text.length > 4 * length ? `${line.slice(0, length)}...` : line;
}
