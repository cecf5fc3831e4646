// MLflow's tracking server by its REST API (mlflow.org/docs/latest/rest-api.html): the eight calls that a run needs.

import { crc32c } from "../base/crc32c.js";
import { UserError } from "../base/errors.js";
import { type HttpError, parseJson, request } from "../base/http.js";
import { keepSecret } from "../base/secrets.js";

export interface MlflowSettings {
  /** Absent: MLFLOW_TRACKING_URI. */
  trackingUri?: string | undefined;
  /** Absent: MLFLOW_EXPERIMENT_NAME, else "touchstone". */
  experiment?: string | undefined;
  /** Absent: the name of the run's directory. */
  runName?: string | undefined;
}

export interface MlflowMetric {
  key: string;
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
}

export interface MlflowRun {
  /** The newest step of each metric. */
  lastSteps: Map<string, number>;
  params: Set<string>;
  isDeleted: boolean;
}

export type MlflowStatus = "RUNNING" | "FINISHED" | "FAILED" | "KILLED";

/** What one call may hold. */
export const METRICS_PER_CALL = 1000;
const PARAMS_PER_CALL = 100;
/** Servers before MLflow 2.8 take no longer values. */
const LONGEST_VALUE = 500;
const LONGEST_NAME = 250;

/** What a person has named as a tracking server. */
function addressOf({ trackingUri }: MlflowSettings): URL {
  const given = trackingUri ?? process.env.MLFLOW_TRACKING_URI;
  if (given === undefined || given === "")
    throw new UserError(
      "report_to: mlflow needs the address of a tracking server: give tracking_uri, or set MLFLOW_TRACKING_URI",
    );
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new UserError(
      `report_to: mlflow: the tracking server must be an http or https address, not ${JSON.stringify(given)}`,
    );
  if (trackingUri !== undefined && url.password !== "")
    throw new UserError(
      "report_to: mlflow: tracking_uri has a password in it, and recipes are kept with their runs; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
    );
  return url;
}

/** As MLflow's own client: a user with a password before a token. */
function credentials(url: URL): Record<string, string> {
  const { MLFLOW_TRACKING_USERNAME: user, MLFLOW_TRACKING_PASSWORD: password } = process.env;
  const { MLFLOW_TRACKING_TOKEN: token } = process.env;
  const inAddress = url.username !== "" && ([url.username, url.password].map(decodeURIComponent) as string[]);
  const pair = inAddress || (user && password ? [user, password] : undefined);
  if (pair) {
    const basic = Buffer.from(pair.join(":")).toString("base64");
    keepSecret(pair[1]!);
    keepSecret(basic);
    return { authorization: `Basic ${basic}` };
  }
  if (token) keepSecret(token);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/**
 * A name that MLflow takes: letters, digits and `_-. /`, and no path that leads elsewhere. A name that has to change ends with
 * its checksum, so that two that differ stay two.
 */
export function mlflowName(name: string): string {
  const clean = name
    .replace(/[^\p{L}\p{N}_\-. /]/gu, "_")
    .split("/")
    .filter((part) => !/^\.*$/.test(part))
    .join("/");
  if (clean === name && name.length <= LONGEST_NAME) return name;
  return `${clean.slice(0, LONGEST_NAME - 9)}_${crc32c(Buffer.from(name)).toString(16).padStart(8, "0")}`;
}

export class MlflowClient {
  /** Without credentials, and without a slash at its end. */
  readonly address: string;
  private readonly headers: Record<string, string>;

  constructor(settings: MlflowSettings) {
    const url = addressOf(settings);
    this.headers = credentials(url);
    url.username = url.password = url.search = url.hash = "";
    this.address = url.href.replace(/\/+$/, "");
  }

  /** Throws where this is no tracking server that answers. */
  async check(): Promise<void> {
    await this.post("experiments/search", { max_results: 1 });
  }

  /** The experiment of a name, which is made where there is none. */
  async experiment(name: string): Promise<string> {
    const find = async (): Promise<string | undefined> => {
      try {
        const found = (await this.get("experiments/get-by-name", { experiment_name: name })) as {
          experiment: { experiment_id: string; lifecycle_stage?: string };
        };
        if (found.experiment.lifecycle_stage === "deleted")
          throw new UserError(
            `report_to: mlflow: the experiment ${name} is deleted; restore it, or name another`,
          );
        return found.experiment.experiment_id;
      } catch (error) {
        if ((error as HttpError).status === 404) return undefined;
        throw error;
      }
    };
    const found = await find();
    if (found !== undefined) return found;
    try {
      const made = (await this.post("experiments/create", { name })) as { experiment_id: string };
      return made.experiment_id;
    } catch (error) {
      // Another run has made it in between.
      const other = (error as HttpError).status === 400 ? await find() : undefined;
      if (other === undefined) throw error;
      return other;
    }
  }

  async createRun(
    experiment: string,
    { name, tags, startSeconds }: { name: string; tags: Record<string, string>; startSeconds: number },
  ): Promise<string> {
    const { run } = (await this.post("runs/create", {
      experiment_id: experiment,
      run_name: name,
      start_time: Math.round(1000 * startSeconds),
      tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
    })) as { run: { info: { run_id: string } } };
    return run.info.run_id;
  }

  /** undefined: the server has no such run. */
  async run(id: string, signal?: AbortSignal): Promise<MlflowRun | undefined> {
    try {
      const { run } = (await this.get("runs/get", { run_id: id }, signal)) as {
        run: {
          info: { lifecycle_stage?: string };
          data?: { metrics?: { key: string; step?: number | string }[]; params?: { key: string }[] };
        };
      };
      return {
        lastSteps: new Map((run.data?.metrics ?? []).map(({ key, step }) => [key, Number(step ?? 0)])),
        params: new Set((run.data?.params ?? []).map(({ key }) => key)),
        isDeleted: run.info.lifecycle_stage === "deleted",
      };
    } catch (error) {
      if ((error as HttpError).status === 404) return undefined;
      throw error;
    }
  }

  async logParams(id: string, params: readonly (readonly [string, string])[]): Promise<void> {
    for (let i = 0; i < params.length; i += PARAMS_PER_CALL)
      await this.post("runs/log-batch", {
        run_id: id,
        params: params.slice(i, i + PARAMS_PER_CALL).map(([key, value]) => ({
          key,
          value: value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE - 3)}...` : value,
        })),
      });
  }

  async logMetrics(id: string, metrics: readonly MlflowMetric[], signal?: AbortSignal): Promise<void> {
    await this.post("runs/log-batch", { run_id: id, metrics }, signal);
  }

  async update(id: string, status: MlflowStatus, signal?: AbortSignal): Promise<void> {
    const ended = status !== "RUNNING" && { end_time: Date.now() };
    await this.post("runs/update", { run_id: id, status, ...ended }, signal);
  }

  private async get(path: string, query: Record<string, string>, signal?: AbortSignal): Promise<unknown> {
    const url = this.urlOf(path);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    return parseJson(await request(url, { headers: this.headers }, { ...LIMITS, signal }));
  }

  private async post(path: string, body: object, signal?: AbortSignal): Promise<unknown> {
    const message = { headers: this.headers, body: JSON.stringify(body) };
    return parseJson(await request(this.urlOf(path), message, { ...LIMITS, signal }));
  }

  private urlOf(path: string): URL {
    return new URL(`${this.address}/api/2.0/mlflow/${path}`);
  }
}

const LIMITS = { timeoutSeconds: 20, maxReplyBytes: 64 * 2 ** 20 };
