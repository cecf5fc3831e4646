// Entry of the command for tests that start it as a process.

import { runProcess } from "../../src/cli/main.js";

await runProcess(process.argv.slice(2));
