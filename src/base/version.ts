import { readFileSync } from "node:fs";

interface Manifest {
  version: string;
}

/** The version of this package; the file is two levels up from both the sources and the build. */
export const VERSION = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as Manifest
).version;
