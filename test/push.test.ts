// `touchstone push` to a Hub of this machine, and the card that it makes of a run.

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { cardOf } from "../src/train/card.js";
import { runCli } from "./support/cli.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

interface Asked {
  method: string;
  path: string;
  authorization: string | undefined;
  body: Buffer;
}

let shop: Workshop;
let hub: Server;
let asked: Asked[] = [];
/** What the Hub answers instead of its usual: a status by path. */
let refusals: Record<string, number> = {};

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};
const url = () => `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

beforeAll(async () => {
  shop = await openWorkshop();
  hub = createServer(async (request, response) => {
    const path = request.url!;
    const body = await bodyOf(request);
    asked.push({ method: request.method!, path, authorization: request.headers.authorization, body });
    const answer = (value: unknown, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    const refusal = refusals[path];
    if (refusal !== undefined) return answer({ error: "no such luck" }, refusal);
    if (path === "/api/repos/create") return answer({ url: `${url()}/me/bot`, id: "1" });
    if (path === "/api/models/me/bot/preupload/main") {
      const { files } = JSON.parse(body.toString()) as { files: { path: string }[] };
      return answer({
        files: files.map((file) => ({
          path: file.path,
          uploadMode: file.path.endsWith(".safetensors") ? "lfs" : "regular",
        })),
      });
    }
    if (path === "/me/bot.git/info/lfs/objects/batch") {
      const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
      return answer({
        transfer: "basic",
        objects: objects.map((object) => ({
          ...object,
          actions: { upload: { href: `${url()}/store/${object.oid}` } },
        })),
      });
    }
    if (path.startsWith("/store/")) return answer({});
    if (path === "/api/models/me/bot/commit/main")
      return answer({ commitOid: "c0ffee", commitUrl: `${url()}/me/bot/commit/c0ffee` });
    answer({ error: "not here" }, 404);
  });
  await new Promise<void>((resolve) => hub.listen(0, "127.0.0.1", resolve));
  const { code, stderr } = await runCli([
    "sft",
    "--model",
    shop.policy,
    "--data",
    shop.data("sft.jsonl"),
    "-o",
    shop.path("bot"),
    "--set",
    "steps=2",
    "--set",
    "batch_size=4",
  ]);
  expect(stderr).not.toMatch(/^touchstone: /m);
  expect(code).toBe(0);
});
beforeEach(() => {
  asked = [];
  refusals = {};
});
afterAll(async () => {
  hub.closeAllConnections();
  await new Promise((resolve) => hub.close(resolve));
  await shop.remove();
});

const push = (...flags: string[]) =>
  runCli(["push", shop.path("bot", "final"), "me/bot", ...flags], {
    env: { HF_ENDPOINT: url(), HF_TOKEN: "hf_secret" },
  });

describe("push", () => {
  it("sends the model's files in one commit, the weights by LFS, with a card, and the token to the Hub alone", async () => {
    const { code, stdout, stderr } = await push("--json", "--private", "--license", "apache-2.0");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const sent = JSON.parse(stdout);
    expect(sent).toMatchObject({ url: `${url()}/me/bot`, commit: "c0ffee" });
    expect(sent.files).toEqual(
      expect.arrayContaining(["README.md", "config.json", "model.safetensors", "tokenizer.json"]),
    );
    const create = asked.find(({ path }) => path === "/api/repos/create")!;
    expect(JSON.parse(create.body.toString())).toMatchObject({
      name: "bot",
      organization: "me",
      visibility: "private",
    });
    const weights = await readFile(shop.path("bot", "final", "model.safetensors"));
    expect(asked.find(({ path }) => path === `/store/${sha256(weights)}`)!.body).toEqual(weights);
    const lines = asked
      .find(({ path }) => path.includes("/commit/"))!
      .body.toString()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.find(({ key }) => key === "lfsFile").value).toMatchObject({
      path: "model.safetensors",
      oid: sha256(weights),
    });
    const files = Object.fromEntries(
      lines
        .filter(({ key }) => key === "file")
        .map(({ value }) => [value.path, Buffer.from(value.content, "base64")]),
    );
    expect(files["config.json"]).toEqual(await readFile(shop.path("bot", "final", "config.json")));
    expect(files["README.md"]!.toString()).toMatch(/^---\nlicense: apache-2\.0\n/);
    for (const { path, authorization } of asked)
      expect(authorization, path).toBe(path.startsWith("/store/") ? undefined : "Bearer hf_secret");
  });

  it("goes on where the repository exists, and says what the Hub refuses", async () => {
    refusals = { "/api/repos/create": 409 };
    expect((await push()).code).toBe(0);
    refusals = { "/api/models/me/bot/commit/main": 403 };
    const { code, stderr } = await push("--quiet");
    expect(code).toBe(2);
    expect(stderr).toMatch(/refused me\/bot \(403\): .*no such luck/);
    expect(stderr).not.toContain("hf_secret");
  });

  it("sends nothing on a dry run", async () => {
    const { code, stdout } = await push("--dry-run");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^me\/bot: README\.md, .*model\.safetensors/);
    expect(stdout).toContain("# bot");
    expect(asked).toEqual([]);
  });

  it.each([
    [["push", ".", "me/bot"], {}, /has no config\.json or adapter_config\.json/],
    [["push", "nowhere", "me/bot"], {}, /nowhere is no directory/],
    [["push", "MODEL", "bot"], { HF_TOKEN: "hf_x" }, /"bot" is no name of a repository; give owner\/name/],
    [["push", "MODEL", "me/bot"], { HF_TOKEN: "" }, /HF_TOKEN is not set/],
    [["push", "MODEL", "me/bot"], { HF_TOKEN: "abc" }, /those start with "hf_"/],
    [["push", "MODEL", "me/bot", "--license", "My Own!"], {}, /--license must be an identifier/],
    [
      ["push", "MODEL", "me/bot"],
      { HF_TOKEN: "hf_x", HF_ENDPOINT: "http://127.0.0.1:9" },
      /127\.0\.0\.1:9 cannot be reached/,
    ],
  ])("%j with %j is explained", async (argv, env, message) => {
    const words = argv.map((word) => (word === "MODEL" ? shop.path("bot", "final") : word));
    const { code, stderr } = await runCli(words, { env });
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});

describe("a card", () => {
  it("has front matter that the Hub reads, results, the recipe and whom to cite", async () => {
    const run = shop.path("cards", "careful-bot");
    await mkdir(join(run, "final"), { recursive: true });
    await mkdir(shop.path("base"), { recursive: true });
    await writeFile(shop.path("base", "README.md"), "---\nlicense: mit\ntags: [x]\n---\n# base\n");
    await writeFile(
      join(run, "recipe.yaml"),
      `policy: { model: ${shop.path("base")} }
output_dir: /home/somebody/secret-project/runs/bot
llm: { judge: { model: qwen3, base_url: "http://10.1.2.3/v1", api_key_env: KEY } }
tasks:
  - name: chat
    prompts: { path: trl-lib/prompts }
    reward: { warm: /home/somebody/secret-project/runs/rm/merged }
    optimizer: { name: crpg }
`,
    );
    await writeFile(
      join(run, "metrics.jsonl"),
      `{"step":1,"tasks/chat/rewards/mean":0.1}\n{"step":2,"tasks/chat/rewards/mean":0.51239,"tasks/chat/kl":1.5,"grad_norm":3,"tasks/chat/measures/gold":0.25}\n`,
    );
    const { text, from } = await cardOf(join(run, "final"));
    expect(from).toBe("run");
    const [, head, body] = /^---\n([\s\S]*?)---\n([\s\S]*)$/.exec(text)!;
    expect(parse(head!)).toEqual({
      license: "mit",
      datasets: ["trl-lib/prompts"],
      library_name: "transformers",
      pipeline_tag: "text-generation",
      tags: ["touchstone", "warm", "cgpo"],
    });
    expect(body).toContain("# careful-bot");
    expect(body).toContain("| `tasks/chat/rewards/mean` | 0.5124 |");
    expect(body).toContain("| `tasks/chat/measures/gold` | 0.25 |");
    expect(body).not.toContain("grad_norm");
    expect(body).toContain("eprint = {2409.20370}");
    expect(body).toContain("warm: .../rm/merged");
    for (const secret of ["somebody", "secret-project", "10.1.2.3", "api_key_env"])
      expect(text).not.toContain(secret);
  });

  it("is the model's own where it has one, and of a checkpoint that of its run", async () => {
    const run = shop.path("cards", "careful-bot");
    const checkpoint = join(run, "checkpoints", "step-2", "model");
    await mkdir(checkpoint, { recursive: true });
    expect((await cardOf(checkpoint)).from).toBe("run");
    await writeFile(join(checkpoint, "README.md"), "# mine\n");
    expect(await cardOf(checkpoint)).toEqual({ text: "# mine\n", from: "own" });
    expect((await cardOf(shop.path("base", ".."))).from).toBe("bare");
  });
});
