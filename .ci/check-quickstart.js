// Fails unless the quickstart's result shows its story: the plain policy's proxy reward rises while its true reward
// falls, and the constrained policy ends above both the plain one and the start.

import { readFileSync, statSync } from "node:fs";

const { start, plain, touchstone, report } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const claims = {
  "the report is a page": statSync(report).size > 20_000,
  "the plain policy's proxy reward rises": plain.proxy_reward_along.last > plain.proxy_reward_along.first,
  "its true reward falls below the start": plain.true_reward.high < start.true_reward.estimate,
  "the constrained policy's true reward is above the plain one's":
    touchstone.true_reward.low > plain.true_reward.high,
  "and above the start": touchstone.true_reward.low > start.true_reward.estimate,
};
for (const [claim, holds] of Object.entries(claims)) console.log(`${holds ? "ok  " : "FAIL"} ${claim}`);
if (Object.values(claims).includes(false)) process.exitCode = 1;
