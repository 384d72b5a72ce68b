import type { Store } from "../../shared/store.ts";

/** Where a server runs that can be killed. Opened with a configuration and a folder for all that must outlive it. */
export type OpenSite = (config: Readonly<Record<string, unknown>>, folder: string) => Promise<Site>;

export interface Site {
  start(): Promise<RunningSite>;
  /** The store of the servers; only while none runs. */
  withStore<T>(work: (store: Store) => Promise<T>): Promise<T>;
}

export interface RunningSite {
  readonly baseURL: string;
  /** As by kill -9; nothing where it has ended. */
  kill(): Promise<void>;
  /** Once everything that it serves has been settled. */
  stop(): Promise<void>;
}
