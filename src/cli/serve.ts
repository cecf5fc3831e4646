// The serve verb's work: opens what is to be served, listens, and on Ctrl-C or SIGTERM finishes what runs.

import type { Server } from "node:http";
import { dirname, resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { VERSION } from "../base/version.js";
import { parseOverride, parseValue } from "../recipe/file.js";
import { type JudgeRecipe, loadRecipe } from "../recipe/recipe.js";
import { endsItself, type RunContext } from "../run/context.js";
import { allDialects } from "../serve/dialects/index.js";
import { serveSockets } from "../serve/dialects/openenv-socket.js";
import { checkDoor, type Guard, serveHttp } from "../serve/http.js";
import { RewardService } from "../serve/service.js";
import { openChoice, openRecipe, type ServedTasks } from "../serve/task.js";
import type { ServeFlags } from "./commands/serve.js";
import { printResult, withContext } from "./context.js";
import { explainError } from "./errors.js";
import { portNumber, realNumber, wholeNumber } from "./values.js";

export const serve = (recipe: string | undefined, flags: ServeFlags): Promise<void> =>
  withContext(flags, (context) => endsItself(() => serveUntilStopped(recipe, flags, context)));

async function serveUntilStopped(
  recipe: string | undefined,
  flags: ServeFlags,
  { reporter, signal }: RunContext,
): Promise<void> {
  const port = portNumber(flags.port);
  // Whatever is wrong with the flags is said before anything is opened or written.
  const door = {
    host: flags.host,
    port,
    token: tokenOf(flags),
    maxBodyBytes: wholeNumber(flags.maxBodyMb, "--max-body-mb", 1) * 2 ** 20,
    requestSeconds: realNumber(flags.requestSeconds, "--request-seconds", { min: 1 }),
  };
  await checkDoor(door);
  const served = await open(recipe, flags, reporter);
  const service = await RewardService.open(served, reporter);
  const options = {
    ...door,
    version: VERSION,
    onServer: (server: Server, guard: Guard) => serveSockets(server, guard, service, options),
    onError: (error: unknown) => reporter.note(explainError(error).message),
  };
  let http: Awaited<ReturnType<typeof serveHttp>>;
  try {
    http = await serveHttp(service, allDialects(), options);
  } catch (error) {
    await service.close();
    throw error;
  }
  const names = served.tasks.map(({ name }) => name).join(", ");
  printResult(
    {
      url: http.url,
      tasks: served.tasks.map(({ name }) => name),
      ...(served.policy && { policy: served.policy.name }),
    },
    [`serving ${names || served.policy?.name} at ${http.url}`],
    flags,
  );
  if (signal && !signal.aborted)
    await new Promise((stop) => signal.addEventListener("abort", stop, { once: true }));
  reporter.note("finishing what runs");
  await http.close();
  reporter.note("stopped");
}

async function open(
  recipe: string | undefined,
  flags: ServeFlags,
  reporter: RunContext["reporter"],
): Promise<ServedTasks> {
  const { reward, judge = [], set = [], policy } = flags;
  const baselineReward =
    flags.baselineReward === undefined
      ? undefined
      : realNumber(flags.baselineReward, "--baseline-reward", { min: Number.NEGATIVE_INFINITY });
  if (recipe === undefined) {
    if (set.length > 0) throw new UserError("--set changes a recipe, and none is given");
    const threads = flags.threads === undefined ? undefined : wholeNumber(flags.threads, "--threads", 1);
    return openChoice(
      {
        ...(reward !== undefined && { reward }),
        ...(typeof policy === "string" && { policy }),
        judges: judge.map((entry) => {
          const value = parseValue(entry, `--judge ${entry}`);
          return (typeof value === "string" ? { kind: value } : value) as JudgeRecipe;
        }),
        engine: { kind: "local", device: "cpu", maxBatchTokens: 4096, threads },
        outputDir: flags.out ?? "runs/serve",
        options: { baselineReward, applyChatTemplate: flags.chat },
      },
      { reporter, baseDir: process.cwd() },
    );
  }
  if (reward !== undefined || judge.length > 0 || typeof policy === "string")
    throw new UserError("--reward, --judge and --policy stand in place of a recipe, and a recipe is given");
  const overrides = set.map(parseOverride);
  if (flags.threads !== undefined)
    overrides.push(parseOverride(`engine.threads=${wholeNumber(flags.threads, "--threads", 1)}`));
  if (baselineReward !== undefined) overrides.push(parseOverride(`serve.baseline_reward=${baselineReward}`));
  if (flags.chat !== undefined) overrides.push(parseOverride(`serve.apply_chat_template=${flags.chat}`));
  const align = await loadRecipe("align", recipe, { overrides });
  return openRecipe(align, {
    reporter,
    baseDir: dirname(resolve(recipe)),
    noPolicy: policy === false,
    ...(flags.out !== undefined && { outputDir: flags.out }),
  });
}

function tokenOf({ token, tokenEnv }: ServeFlags): string | undefined {
  if (token !== undefined && tokenEnv !== undefined)
    throw new UserError("give the token by --token or by --token-env, not by both");
  const value = tokenEnv === undefined ? token : process.env[tokenEnv];
  if (tokenEnv !== undefined && !value)
    throw new UserError(`the environment variable ${tokenEnv} (--token-env) is empty`);
  if (value !== undefined && !/^[\w.~+/=-]{8,}$/.test(value))
    throw new UserError("a token has 8 characters or more, of letters, digits and -._~+/=");
  return value;
}
