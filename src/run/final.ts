// The final model of a run: `final` in its directory, and beside it final.manifest.json with the digest of each of its
// files. The manifest is written last: a run that has both is finished.

import { access } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { checkManifest, writeManifest } from "./manifest.js";

/** Name of the final model inside the directory of its run. */
export const FINAL = "final";
export const FINAL_MANIFEST = "final.manifest.json";

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Whether the final model of a run is there, and whether what says what it holds is. */
export async function finalParts(runDir: string): Promise<{ model: boolean; manifest: boolean }> {
  const [model, manifest] = await Promise.all(
    [FINAL, FINAL_MANIFEST].map((name) => exists(join(runDir, name))),
  );
  return { model: model!, manifest: manifest! };
}

/** Lets `save` write the final model of a run whole, then its manifest; returns the model's directory. */
export async function saveFinal(runDir: string, save: (dir: string) => Promise<void>): Promise<string> {
  const final = join(runDir, FINAL);
  await save(final);
  await writeManifest(final, join(runDir, FINAL_MANIFEST));
  return final;
}

/** Throws a UserError that names the first file of a final model that is not what was saved. */
export const checkFinal = (runDir: string): Promise<void> =>
  checkManifest(join(runDir, FINAL), join(runDir, FINAL_MANIFEST));

/** Whether a run is over. A final model that is not what was saved is a UserError. */
export async function isFinished(runDir: string): Promise<boolean> {
  const { model, manifest } = await finalParts(runDir);
  if (!model || !manifest) return false;
  try {
    await checkFinal(runDir);
    return true;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const again = `delete ${join(runDir, FINAL)} to have it saved again from the last checkpoint`;
    throw new UserError(`${error.message}; ${again}`, { cause: error });
  }
}
