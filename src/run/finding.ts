// What a check of a machine, a run or a recipe found.

export interface Finding {
  name: string;
  status: "ok" | "warning" | "problem";
  detail: string;
}

type Found = Omit<Finding, "name">;

export const ok = (detail: string): Found => ({ status: "ok", detail });
export const warning = (detail: string): Found => ({ status: "warning", detail });
export const problem = (detail: string): Found => ({ status: "problem", detail });
