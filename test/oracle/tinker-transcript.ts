// Writes down what a real service says: npx tsx test/oracle/tinker-transcript.ts NAME URL MODEL [KEY]
// NAME names the fixture (skyrl-jax, tuft); MODEL is a local directory whose name the service knows (docs/tinker.md).

import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recorder, session, type Transcript } from "../support/tinker-transcript.js";

const [name, url, model, apiKey] = process.argv.slice(2) as [string, string, string, string?];
const { vocab_size: vocabSize } = JSON.parse(await readFile(join(model, "config.json"), "utf8"));
const proxy = await recorder(url);
const folder = await mkdtemp(join(tmpdir(), "transcript-"));
const results = await session(proxy.url, {
  baseModel: model,
  tokenizerDir: model,
  vocabSize,
  folder,
  ...(apiKey && { apiKey }),
});
proxy.close();
const transcript: Transcript = { service: name, exchanges: proxy.exchanges, results };
// The directory of the model is nobody's business.
const text = JSON.stringify(transcript).replaceAll(model, "lab/model").replaceAll(proxy.url, "URL");
await writeFile(`test/fixtures/tinker/${name}.json`, `${text}\n`);
console.log(`test/fixtures/tinker/${name}.json: ${proxy.exchanges.length} exchanges`);
