// touchstone align and sft with the policy on a service: the recipe, kill -9 at any request, what is written.

import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readMetrics } from "../src/run/metrics.js";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { runCli } from "./support/cli.js";
import { type ServiceOptions, TinkerService } from "./support/tinker-service.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let service: TinkerService;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterEach(() => service.stop());
afterAll(() => shop.remove());

async function serve(options: Partial<ServiceOptions> = {}): Promise<void> {
  service = await TinkerService.start({
    base: shop.policy,
    slots: 50,
    reduction: "mean",
    recognisesRepeats: true,
    clips: true,
    ...options,
  });
}

const recipe = (name: string, changes: object = {}) =>
  shop.recipe(`${name}.yaml`, {
    output_dir: shop.path(name),
    engine: { kind: "tinker", base_url: service.url },
    policy: { model: shop.policy, lora: { r: 2 } },
    steps: 3,
    save_steps: 1,
    learning_rate: 0.01,
    warmup_steps: 0,
    tasks: [
      {
        name: "writing",
        prompts: shop.data("preferences.jsonl"),
        reward: { model: shop.reward },
        judges: [{ kind: "length", max_words: 4 }],
        optimizer: { name: "crpg", batch_prompts: 2, generations: 3, max_new_tokens: 6 },
      },
    ],
    ...changes,
  });

/** What is waited for until somebody opens it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Two tasks with a judge that is asked, a reward model here and calibrated rewards. */
const twoTasks = (judge: ChatServer) => ({
  llm: { judge: { base_url: judge.baseUrl, model: "m", concurrency: 4 } },
  steps: 2,
  save_steps: 0,
  tasks: ["one", "two"].map((name, i) => ({
    name,
    prompts: shop.data(i === 0 ? "preferences.jsonl" : "prompts/arithmetic.jsonl"),
    reward: { model: shop.reward },
    judges: [
      { kind: "length", max_words: 4 },
      { kind: "yes_no", name: "kind", model: "judge", question: "Is it kind?" },
    ],
    optimizer: { name: i === 0 ? "crpg" : "codpo", batch_prompts: 3, generations: 3, max_new_tokens: 6 },
  })),
});

const weights = (name: string) => readFile(shop.path(name, "final", "adapter_model.safetensors"));

describe("touchstone align on a service", () => {
  it("survives kill -9 at any request: no gradient counts twice, none is lost", async () => {
    await serve();
    const whole = await runCli(["align", await recipe("whole")]);
    expect(whole).toMatchObject({ code: 0 });
    expect(whole.stderr).toContain("gradients are reduced by mean");
    await service.stop();

    let child: ChildProcess | undefined;
    let [kill, nth] = ["", 0];
    await serve({
      loses: (path) => {
        if (path !== kill || --nth > 0) return false;
        child!.kill("SIGKILL");
        return true;
      },
    });
    const argv = ["align", await recipe("killed"), "--quiet"];
    // The n-th request of its kind that a process makes, carried out but not answered.
    const kills: [string, number][] = [
      // While the service is being asked how it does things; then in step 1.
      ["forward_backward", 4],
      ["optim_step", 7],
      // Its checkpoint: training state, then the adapter.
      ["save_weights", 1],
      ["save_weights", 2],
      ["forward_backward", 11],
      // Going on from a checkpoint.
      ["load_weights", 1],
      ["save_weights_for_sampler", 1],
    ];
    for (const [i, [path, n]] of kills.entries()) {
      [kill, nth] = [path, n];
      const ended = await runCli(i > 0 ? [...argv, "--resume"] : argv, {
        onStart: (started) => void (child = started),
      });
      expect(ended, `${path} ${n}: ${ended.stderr}`).toMatchObject({ signal: "SIGKILL" });
    }
    kill = "";
    expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0 });
    expect(await weights("killed")).toEqual(await weights("whole"));
    const place = JSON.parse(await readFile(shop.path("killed", "final", "tinker.json"), "utf8"));
    expect(place).toMatchObject({
      service: service.url,
      base_model: shop.policy,
      weights: expect.stringMatching(/^tinker:/),
    });
    expect((await readMetrics(shop.path("killed", "metrics.jsonl"))).map(({ step }) => step)).toEqual([
      1, 2, 3,
    ]);
  }, 400_000);

  it("judges what has arrived while other prompts are still sampled, and samples the tasks together", async () => {
    const [there, judged] = [gate(), gate()];
    let isSecondStep = false;
    let arrived = 0;
    const judge = await chatServer(() => {
      if (isSecondStep) judged.open();
      return "Yes";
    });
    await serve({
      // The requests for all prompts of both tasks come before any is answered, and the last one is answered when a sample
      // of another has been judged.
      holds: async (path) => {
        if (path === "save_weights_for_sampler") isSecondStep = true;
        if (path !== "asample" || !isSecondStep || arrived === 6) return;
        if (++arrived === 6) {
          there.open();
          await judged.opened;
        }
        await there.opened;
      },
    });
    const settings = twoTasks(judge);
    const tasks = settings.tasks.map((task) => ({
      ...task,
      judges: task.judges.slice(1),
      optimizer: { ...task.optimizer, name: "grpo" },
    }));
    expect(await runCli(["align", await recipe("held", { ...settings, tasks })])).toMatchObject({ code: 0 });
    expect(arrived).toBe(6);
    await judge.close();
  }, 120_000);

  it("gives the same whatever arrives first", async () => {
    const judge = await chatServer(({ messages }) =>
      messages.at(-1)!.content.length % 3 === 0 ? "No" : "Yes",
    );
    const runs: string[][] = [];
    for (const name of ["prompt", "late"]) {
      const pause = (path: string, count: number) => (path === "asample" ? (40 * (count * 7)) % 13 : 0);
      await serve({
        holds: (path, count) =>
          new Promise((resolve) => setTimeout(resolve, name === "late" ? 10 * pause(path, count) : 0)),
      });
      expect(await runCli(["align", await recipe(name, twoTasks(judge))])).toMatchObject({ code: 0 });
      const metrics = (await readMetrics(shop.path(name, "metrics.jsonl"))).map((row) =>
        Object.entries(row).filter(([key]) => !/latency|time|timestamp/.test(key)),
      );
      runs.push([
        await readFile(shop.path(name, "rollouts.jsonl"), "utf8"),
        (await weights(name)).toString("hex"),
        JSON.stringify(metrics),
      ]);
      await service.stop();
    }
    expect(runs[1]).toEqual(runs[0]);
    await judge.close();
  }, 240_000);
});
