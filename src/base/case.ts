// camelCase in the code, snake_case in files and wire formats: names are converted at the border, here.

export const camelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** What to do with the value under a key: convert its keys too, keep its own keys and convert theirs, or leave it whole. */
export type Depth = "all" | "below" | "none";

/** A value with the keys of all objects in it renamed; `depthOf` says where it ends. */
export function renameKeys(
  value: unknown,
  rename: (key: string) => string,
  depthOf: (key: string) => Depth = () => "all",
): unknown {
  const renamed = (of: unknown, keepKeys: boolean): unknown => {
    if (Array.isArray(of)) return of.map((item) => renamed(item, false));
    if (typeof of !== "object" || of === null) return of;
    const entries = Object.entries(of).map(([key, entry]) => {
      const depth = keepKeys ? "all" : depthOf(key);
      return [keepKeys ? key : rename(key), depth === "none" ? entry : renamed(entry, depth === "below")];
    });
    return Object.fromEntries(entries);
  };
  return renamed(value, false);
}
