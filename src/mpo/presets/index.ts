// The four tasks of the MPO paper in our own words, with the paper's k and n.

import { type TaskPreset, taskFromYaml } from "../task.js";
import { essay } from "./essay.js";
import { ethics } from "./ethics.js";
import { mathematics } from "./mathematics.js";
import { summary } from "./summary.js";

const files = { essay, summary, ethics, mathematics };

export type PresetName = keyof typeof files;

export const presetNames = Object.keys(files) as PresetName[];

export const isPresetName = (name: string): name is PresetName => Object.hasOwn(files, name);

export const taskPreset = (name: PresetName): TaskPreset => taskFromYaml(files[name], `the preset ${name}`);
