// How a person names something on the Hub.

import { UserError } from "../base/errors.js";

export interface HubName {
  repo: string;
  revision?: string | undefined;
  config?: string | undefined;
  split?: string | undefined;
}

/**
 * `owner/name[@revision][:[config/]split]`, with or without `hub:` before it; models have no config and no split.
 * Names without an owner need the `hub:`. What looks like a path (`./x/y`, `data/x.jsonl`) is none.
 */
export function parseHubName(source: string): HubName | null {
  const match = source.match(
    /^(hub:)?((?:\w[\w.-]*\/)?\w[\w.-]*)(?:@([\w./-]+))?(?::(?:([\w.-]+)\/)?([\w.-]+))?$/,
  );
  if (!match) return null;
  const [, explicit, repo, revision, config, split] = match as (string | undefined)[];
  const isPath = !repo!.includes("/") || /\.(jsonl|ndjson|json|parquet|gz|safetensors)$/.test(repo!);
  return isPath && !explicit ? null : { repo: repo!, revision, config, split };
}

/** Adds to an error about a Hub name that could have been meant as a path. */
export function orLocalPath(source: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof UserError) || source.startsWith("hub:")) throw error;
    throw new UserError(`${error.message} Nor is there a local path "${source}".`, { cause: error });
  };
}
