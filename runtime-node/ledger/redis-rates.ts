import { Redis, type Result } from "ioredis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import type { Log } from "../../functions/deps.ts";
import type { Hold, LimitState, Scope } from "../../shared/ledger.ts";

/** Requests and tokens a minute in Redis or Valkey, for many hosts: rows that nobody else has to lock. */
export interface RedisRates {
  /** Takes the hold's rates, all or nothing. Undefined where Redis can't be asked: the database's own rates decide then. */
  take(hold: Pick<Hold, "account" | "tokens" | "scopes">): Promise<Taken | undefined>;
  /** Tokens that a request didn't use. */
  giveBack(account: string, scopes: readonly Scope[], tokens: number): Promise<void>;
  close(): Promise<void>;
}

export interface Taken {
  readonly refusal: Refusal | null;
  /** After it. */
  readonly limits: readonly LimitState[];
  /** Gives all back where the hold wasn't made; the rates after it. */
  undo(): Promise<readonly LimitState[]>;
}

interface Refusal extends Pick<LimitState, "scope" | "resource" | "limit"> {
  /** Null: never, it asks for more than a minute's worth. */
  readonly retryAfterMs: number | null;
}

export interface RedisRatesOptions {
  readonly url: string;
  /** Unix ms, for tests; left out, the clock of Redis decides. */
  readonly now: (() => number) | undefined;
  readonly log: Log;
}

interface Rate extends Pick<LimitState, "scope" | "resource" | "limit"> {
  readonly key: string;
  readonly count: number;
}

declare module "ioredis" {
  interface RedisCommander<Context> {
    takeRate(key: string, ...args: readonly string[]): Result<readonly [number, number], Context>;
  }
}

/**
 * GCRA in whole numbers: the same debt as in the database's table `scopes`. Says how much is used, of the limit, and when
 * it is whole again; for more than fits it changes nothing, and says more than the limit and when it would fit.
 */
const TAKE_RATE = `
local count, limit, now = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local kept = redis.call('HMGET', KEYS[1], 'debt', 'at')
local debt, at = tonumber(kept[1]) or 0, tonumber(kept[2]) or now
local whole = limit * 60000
debt = math.max(0, math.min(debt, whole) - math.min(math.max(now - at, 0), 60000) * limit)
local after = math.max(0, debt + count * 60000)
if count > 0 and after > whole then
  return { limit + 1, math.ceil((after - whole) / limit) }
end
redis.call('HSET', KEYS[1], 'debt', string.format('%.0f', after), 'at', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], 120)
return { math.ceil(after / 60000), math.ceil(after / limit) }
`;

/** Limiters kept, one for each limit that is asked for. */
const MAX_LIMITERS = 1000;

/**
 * Why rate-limiter-flexible: it tells a refusal from a failure of Redis, doesn't wait for one that isn't ready, and knows
 * ioredis and Valkey. Its own counter is a fixed window, which lets twice the limit through at its border and counts what
 * it refused; so the counter is ours, and what the two ledgers say of a rate is the same.
 */
export async function createRedisRates({ url, now, log }: RedisRatesOptions): Promise<RedisRates> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2000,
    commandTimeout: 2000,
    // A request is never kept waiting for Redis, and nothing is taken twice.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(times * 100, 2000),
    scripts: { takeRate: { lua: TAKE_RATE, numberOfKeys: 1 } },
  });
  let isDown = false;
  const down = (error: unknown): void => {
    // Its errors carry the command, and so the password: the message alone doesn't.
    const reason = error instanceof Error ? error.message : "unknown";
    if (!isDown) log.error("Redis can't be asked: Postgres keeps the rate limits until it can", { reason });
    isDown = true;
  };
  redis.on("error", down);
  const up = (): void => {
    if (isDown) log.info("Redis answers again and keeps the rate limits");
    isDown = false;
  };
  redis.on("ready", up);
  await redis.connect().catch(down);

  const storeClient = {
    get status() {
      return redis.status;
    },
    rlflxIncr: ([key = "", ...args]: readonly string[]) =>
      redis.takeRate(key, ...args, String(now?.() ?? "")),
  };
  const limiters = new Map<number, RateLimiterRedis>();
  const limiterOf = (limit: number): RateLimiterRedis => {
    if (limiters.size >= MAX_LIMITERS) limiters.clear();
    const limiter =
      limiters.get(limit) ??
      new RateLimiterRedis({
        storeClient,
        points: limit,
        duration: 60,
        keyPrefix: "sluice",
        rejectIfRedisNotReady: true,
      });
    limiters.set(limit, limiter);
    return limiter;
  };
  /** Gives `count` of each back (nothing, where it is 0) and says what they are then. */
  const giveBack = (rates: readonly Rate[]): Promise<readonly LimitState[]> =>
    Promise.all(
      rates.map(async (rate) => stateOf(rate, await limiterOf(rate.limit).reward(rate.key, rate.count))),
    );
  const takeOne = async (rate: Rate): Promise<LimitState | Refusal> => {
    try {
      return stateOf(rate, await limiterOf(rate.limit).consume(rate.key, rate.count));
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      const { scope, resource, limit, count } = rate;
      return { scope, resource, limit, retryAfterMs: count > limit ? null : error.msBeforeNext };
    }
  };

  return {
    async take({ account, scopes, tokens }) {
      const rates = ratesOf(account, scopes, tokens);
      try {
        const results = await Promise.all(rates.map(takeOne));
        up();
        const refusal = results.find((result) => "retryAfterMs" in result) ?? null;
        const taken = rates.map((rate, i) => {
          const result = results[i];
          return result !== undefined && "remaining" in result ? rate : { ...rate, count: 0 };
        });
        const limits =
          refusal === null ? results.filter((result) => "remaining" in result) : await giveBack(taken);
        const undo = async (): Promise<readonly LimitState[]> => {
          if (refusal !== null) return limits;
          return giveBack(taken).catch((error: unknown) => {
            down(error);
            return limits;
          });
        };
        return { refusal, limits, undo };
      } catch (error) {
        // What was taken before it failed comes back by itself, within a minute.
        down(error);
        return undefined;
      }
    },
    async giveBack(account, scopes, tokens) {
      const rates = ratesOf(account, scopes, tokens).filter(({ resource }) => resource === "tokens");
      await giveBack(rates).catch(down);
    },
    async close() {
      redis.disconnect();
    },
  };
}

function ratesOf(account: string, scopes: readonly Scope[], tokens: number): readonly Rate[] {
  return scopes.flatMap(({ name, limits }) => {
    // One hash slot an account, for a cluster.
    const place = `{${account}}/${name}`;
    const { requestsPerMinute, tokensPerMinute } = limits;
    const requests = { scope: name, resource: "requests", key: `${place}/requests`, count: 1 } as const;
    const used = { scope: name, resource: "tokens", key: `${place}/tokens`, count: tokens } as const;
    return [
      ...(requestsPerMinute === undefined ? [] : [{ ...requests, limit: requestsPerMinute }]),
      ...(tokensPerMinute === undefined ? [] : [{ ...used, limit: tokensPerMinute }]),
    ];
  });
}

function stateOf({ scope, resource, limit }: Rate, result: RateLimiterRes): LimitState {
  return { scope, resource, limit, remaining: result.remainingPoints, resetMs: result.msBeforeNext };
}
