import { describe, expect, it } from "vitest";
import { camelCase, renameKeys, snakeCase } from "./case.js";

describe("letter case", () => {
  it("of names, there and back", () => {
    expect(snakeCase("klMaxPerTask")).toBe("kl_max_per_task");
    expect(camelCase("kl_max_per_task")).toBe("klMaxPerTask");
    // A digit has no case.
    expect(camelCase("adam_beta1")).toBe("adamBeta1");
    expect(camelCase("top_5")).toBe("top_5");
  });

  it("of keys, all the way down; strings are values", () => {
    const value = { aB: [{ cD: "eF" }, null, 1], gH: { iJ: undefined } };
    expect(renameKeys(value, snakeCase)).toEqual({
      a_b: [{ c_d: "eF" }, null, 1],
      g_h: { i_j: undefined },
    });
  });

  it("leaves whole what is someone else's, and keeps names that a person chose", () => {
    const value = { my_judges: { a_b: 1 }, my_names: { my_own: { c_d: 2 }, my_judges: { e_f: 3 } } };
    const depthOf = (key: string) => (key === "my_judges" ? "none" : key === "my_names" ? "below" : "all");
    expect(renameKeys(value, camelCase, depthOf)).toEqual({
      myJudges: { a_b: 1 },
      myNames: { my_own: { cD: 2 }, my_judges: { eF: 3 } },
    });
  });
});
