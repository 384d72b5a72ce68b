import { ConfigError } from "../shared/config.ts";
import { ApiError } from "../shared/openai/errors.ts";
import { InputError } from "./input-error.ts";
import { DownloadError } from "./models/download.ts";

/** Whether the user gave what can't be used: a config, a flag, a key that isn't there, a model that can't be had. */
export function isBadInput(error: unknown): boolean {
  if (error instanceof ApiError) return error.status < 500;
  return [ConfigError, DownloadError, InputError].some((kind) => error instanceof kind);
}
