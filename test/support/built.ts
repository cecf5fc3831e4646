// Whether `dist` is the build of the source as it stands. `npm test` builds first; a single test file after a change does not.

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** Files of `src` of which a build has a copy, translated or not. */
const isBuiltFrom = (name: string): boolean => /\.(ts|js|yaml)$/.test(name) && !/\.(test|d)\.ts$/.test(name);

let answer: boolean | undefined;

/** True when every file of the source has a copy in the build that is no older. Looked at once in a process. */
export function isBuilt(): boolean {
  const changed = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  answer ??= readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter(isBuiltFrom)
    .every((name) => {
      const copy = changed(join(root, "dist", name.replace(/\.ts$/, ".js")));
      return copy !== undefined && copy >= changed(join(root, "src", name))!;
    });
  return answer;
}
