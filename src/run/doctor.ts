// What `touchstone doctor` looks at: this machine, or a run. Each check is independent; one that throws is a problem with that error as detail.

import { existsSync } from "node:fs";
import { readdir, statfs } from "node:fs/promises";
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { join, relative } from "node:path";
import { UserError } from "../base/errors.js";
import { VERSION } from "../base/version.js";
import { type Finding, ok, problem, warning } from "./finding.js";

export type { Finding };

type Check = () => Promise<Omit<Finding, "name">> | Omit<Finding, "name">;

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Providers that need libraries of their own, which no package carries. */
const NOT_CARRIED = new Set(["CUDAExecutionProvider", "TensorrtExecutionProvider", "DmlExecutionProvider"]);

const CHECKS: Record<string, Check> = {
  touchstone: () => ok(VERSION),

  node: () => {
    const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
    const detail = `${process.versions.node} on ${platform()} ${release()} ${arch()}`;
    return major > 20 || (major === 20 && minor >= 19)
      ? ok(detail)
      : problem(`${detail}; 20.19 or newer is needed`);
  },

  "onnx runtime": async () => {
    const { ort } = await import("../tensor/ort.js");
    return ok(`library loaded, version ${ort().version}`);
  },

  "bundled providers": async () => {
    const { providers } = await import("../tensor/ort.js");
    return ok(
      providers()
        .filter((name) => !NOT_CARRIED.has(name))
        .map((name) => name.replace(/ExecutionProvider$/, ""))
        .join(", "),
    );
  },

  cores: () => {
    const model = cpus()[0]?.model.trim() ?? "unknown";
    return ok(`${availableParallelism()} usable (${model})`);
  },

  memory: () => {
    const detail = `${gib(freemem())} free of ${gib(totalmem())}`;
    return freemem() < 2 ** 30 ? warning(`${detail}; less than 1 GiB is tight for any model`) : ok(detail);
  },

  disk: async () => {
    const { bavail, bsize } = await statfs(process.cwd());
    const detail = `${gib(bavail * bsize)} free here`;
    return bavail * bsize < 2 ** 30 ? warning(`${detail}; a checkpoint may not fit`) : ok(detail);
  },

  sandbox: async () => {
    const { SandboxPool } = await import("../judges/sandbox/pool.js");
    const pool = new SandboxPool(1);
    try {
      const program = {
        source: "function twice(x) { return 2 * x; }",
        tests: [{ call: "twice", args: [21], expected: 42, tolerance: 0 }],
      };
      const { passed, reason } = await pool.run(program, {
        fuel: 1000,
        memoryMb: 32,
        outputChars: 100,
        seconds: 5,
      });
      return passed ? ok("runs JavaScript") : problem(`gave a wrong answer: ${reason}`);
    } finally {
      await pool.close();
    }
  },
};

/** Runs every check of this machine. */
export const examine = (): Promise<Finding[]> => runChecks(CHECKS);

/** Checks the run that `dir` holds: its recipe, its logs and every byte of its checkpoints, those of its parts too. */
export async function examineRun(dir: string): Promise<Finding[]> {
  const [{ parseYaml }, { readText }, { checkpointSteps, readCheckpoint }, metrics, final] =
    await Promise.all([
      import("../base/yaml.js"),
      import("../base/files.js"),
      import("./directory.js"),
      import("./metrics.js"),
      import("./final.js"),
    ]);
  const findings: Finding[] = [];
  for (const part of await runsBelow(dir)) {
    const checks: Record<string, Check> = {
      "recipe.yaml": async () => {
        const path = join(part, "recipe.yaml");
        parseYaml(await readText(path), path);
        return ok("readable");
      },
    };
    const readers = { "metrics.jsonl": metrics.readMetrics, "rollouts.jsonl": metrics.readRollouts };
    for (const [log, read] of Object.entries(readers))
      if (existsSync(join(part, log)))
        checks[log] = async () => ok(`${(await read(join(part, log))).length} lines`);
    for (const step of await checkpointSteps(part))
      checks[`checkpoints/step-${step}`] = async () => {
        await readCheckpoint(part, step);
        return ok("every file is what it was when it was saved");
      };
    const parts = await final.finalParts(part);
    if (parts.model || parts.manifest) checks.final = () => finalFinding(part, parts, final);
    const where = relative(dir, part);
    for (const finding of await runChecks(checks))
      findings.push({ ...finding, name: where === "" ? finding.name : `${where}/${finding.name}` });
  }
  return findings;
}

/** A final model without its manifest is one of an earlier version, or was about to be saved when the run was killed. */
async function finalFinding(
  run: string,
  { model, manifest }: { model: boolean; manifest: boolean },
  { checkFinal, FINAL_MANIFEST }: typeof import("./final.js"),
) {
  if (!manifest) return warning(`there is no ${FINAL_MANIFEST}: nothing says whether it is what was saved`);
  if (!model) return warning("was saved and is gone; the run with --resume saves it again");
  await checkFinal(run);
  return ok("every file is what it was when it was saved");
}

/** The run directories at and right below `dir`: an alignment in stages and several reward models have theirs there. */
async function runsBelow(dir: string): Promise<string[]> {
  const { isRunDirectory } = await import("./directory.js");
  const names = await readdir(dir).catch((): string[] => []);
  const found: string[] = [];
  for (const name of [".", ...names.sort()])
    if (await isRunDirectory(join(dir, name))) found.push(join(dir, name));
  if (found.length === 0) throw new UserError(`${dir} is not the directory of a run: it has no recipe.yaml`);
  return found;
}

async function runChecks(checks: Readonly<Record<string, Check>>): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, check] of Object.entries(checks)) {
    try {
      findings.push({ name, ...(await check()) });
    } catch (error) {
      findings.push({ name, ...problem(error instanceof Error ? error.message : String(error)) });
    }
  }
  return findings;
}
