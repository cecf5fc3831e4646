// The layers of the house: a folder of src/ imports from those above it in this list, never from those below.

export const layers = [
  "base",
  "tensor",
  "model",
  "objectives",
  "data",
  "engine",
  "llm",
  "judges",
  "mpo",
  "reward",
  "recipe",
  "run",
  "trackers",
  "monitor",
  "train",
  "dashboard",
  "eval",
  "serve",
  "lab",
  "ui",
  "exports",
  "cli",
];

/** The one file outside engine/ that makes models of the local engine. */
const makesLocalModels = "^src/train/models\\.ts$";

export default {
  forbidden: [
    ...layers.map((name, i) => ({
      name: `${name}-imports-downwards`,
      severity: "error",
      from: { path: `^src/${name}/`, pathNot: "\\.test\\.ts$" },
      to: { path: `^src/(${[...layers.slice(i + 1), "index"].join("|")})[/.]` },
    })),
    {
      name: "engine-behind-its-contract",
      comment: "loops know the contract; an engine is made in one place",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/engine/", "\\.test\\.ts$", makesLocalModels] },
      to: { path: "^src/engine/local/" },
    },
  ],
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
