import type { Config } from "../shared/config.ts";
import type { Engine } from "../shared/engine.ts";
import type { Ledger, Price } from "../shared/ledger.ts";

/** What differs between hosts. Only `worker.ts` and `runtime-node/server.ts` build one. */
export interface Deps {
  readonly config: Config;
  readonly engines: readonly EngineEntry[];
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly platform: Platform;
}

/** An engine and what clients may ask of it. `any`: whatever it lists itself, and any name nobody else has. */
export interface EngineEntry {
  readonly engine: Engine;
  readonly serves: readonly ServedModel[] | "any";
  /** For models of an `any` entry. */
  readonly price: Price;
}

export interface ServedModel {
  readonly id: string;
  readonly aliases: readonly string[];
  /** Its name on the engine. */
  readonly as: string;
  /** Share of the calls among the engines that serve the same id. */
  readonly weight: number;
  readonly price: Price;
  /** Completion tokens when the client names none. */
  readonly maxTokens?: number;
}

export interface Clock {
  /** Unix ms. */
  now(): number;
  /** Ms that never run backwards; for durations. */
  monotonic(): number;
}

/** Never given a key, a prompt or a completion. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** The machine under the app, for `/v1/system/status`. */
export interface Platform {
  /** Facts that don't change while it runs. */
  readonly info: Readonly<Record<string, unknown>>;
  /** CPU, memory, disk, network and GPU as of now. */
  sample(): Promise<Readonly<Record<string, unknown>>>;
}
