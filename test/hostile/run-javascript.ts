// Runs generated hostile JavaScript programs: node --expose-gc --import tsx test/hostile/run-javascript.ts [count] [seed] [from].
// No program may pass; after every ten, the interpreter must be what it was, byte for byte, and an innocent program must pass.

import { stopClock } from "../../src/judges/sandbox/clock.js";
import { hostileProgram } from "../hostile-javascript.js";
import { checkJavaScript } from "./check-javascript.js";
import { printed } from "./report.js";

// As in the sandbox's own thread: a start draws the seed of Math.random from the time.
stopClock();
const [count = 3000, seed = 1, from = 0] = process.argv.slice(2).map(Number);
const programs = Array.from({ length: count - from }, (_, i) => hostileProgram(seed, from + i));
process.exit(await printed((onProgress) => checkJavaScript(programs, onProgress)));
