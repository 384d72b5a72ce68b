import type { Config } from "../shared/config.ts";
import type { Engine } from "../shared/engine.ts";
import type { Price } from "../shared/ledger.ts";
import type { Store } from "../shared/store.ts";
import type { AnswerStore } from "./idempotency.ts";

/** What differs between hosts. Only `worker.ts` and `runtime-node/server.ts` build one. */
export interface Deps {
  readonly config: Config;
  readonly engines: readonly EngineEntry[];
  readonly store: Store;
  /** Answers kept for clients that repeat an `Idempotency-Key`. */
  readonly answers: AnswerStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly platform: Platform;
}

/** An engine and what clients may ask of it. `any`: whatever it lists itself, and any name nobody else has. */
export interface EngineEntry {
  readonly engine: Engine;
  readonly serves: readonly ServedModel[] | "any";
  /** Of a configured backend; undefined for engines of this host. */
  readonly backend?: BackendPolicy;
  /** For models of an `any` entry. */
  readonly price: Price;
}

export interface BackendPolicy {
  readonly id: string;
  /** When the client leaves: stop it and bill what it counted, read on and bill all, or stop it and bill nothing. */
  readonly onAbort: "cancel" | "drain" | "free";
  /** How long `drain` reads on at most. */
  readonly drainMs: number;
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
