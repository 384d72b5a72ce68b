import type { MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import type { Config } from "../../shared/config.ts";
import { KEY_PREFIX } from "../../shared/config-billing.ts";
import type { Directory } from "../../shared/directory.ts";
import { isSameHash, maskKey } from "../../shared/key.ts";
import { ApiError, unavailable } from "../../shared/openai/errors.ts";
import { OPEN_PRINCIPAL, type Principal, principalOf } from "../../shared/principal.ts";
import { sha256 } from "../../shared/sha256.ts";
import type { Clock } from "../deps.ts";
import type { RequestContext } from "./request-context.ts";

export interface AuthOptions {
  readonly config: Config;
  /** With the configuration's keys in it. */
  readonly directory: Directory;
  readonly clock: Clock;
}

/** Who may pass. Each throws what OpenAI would answer where the caller may not. */
export interface Auth {
  readonly anyone: MiddlewareHandler<RequestContext>;
  /** A client's key, or anybody while the server is open; puts the `principal` on the context. */
  readonly client: MiddlewareHandler<RequestContext>;
  /** The admin key, or anybody while the server is open: what an operator does to a running server. */
  readonly operator: MiddlewareHandler<RequestContext>;
  /** The admin key, always. */
  readonly admin: MiddlewareHandler<RequestContext>;
}

/** How long a server that was found without any key is taken to be open, in ms: a key made elsewhere closes it then. */
const OPEN_MS = 1000;

/**
 * Keys come as `Authorization: Bearer`, `api-key` or `x-api-key`. `auth: auto` serves everybody while there has
 * never been a key: revoking the last one does not open the server again, and an admin key, which no client has, does
 * not close it.
 */
export function createAuth({ config, directory, clock }: AuthOptions): Auth {
  let adminHash: string | undefined;
  let hasKeys = config.auth === "required" || config.keys.length > 0;
  let foundOpenAt = Number.NEGATIVE_INFINITY;

  async function isOpen(): Promise<boolean> {
    if (hasKeys) return false;
    if (clock.monotonic() - foundOpenAt < OPEN_MS) return true;
    hasKeys = (await directory.keys()).length > 0;
    foundOpenAt = clock.monotonic();
    return !hasKeys;
  }

  async function isAdminKey(hash: string): Promise<boolean> {
    if (config.admin.key === undefined) return false;
    adminHash ??= await sha256(config.admin.key);
    return isSameHash(adminHash, hash);
  }

  async function identify(headers: Headers): Promise<Principal | "admin"> {
    const credential = credentialOf(headers);
    const hash = credential === undefined ? "" : await sha256(credential);
    if (await isAdminKey(hash)) return "admin";
    // SDKs send any word where no key is needed: only what can be one of ours is looked up then.
    const canBeKey = credential !== undefined && (hasKeys || credential.startsWith(KEY_PREFIX));
    const owner = canBeKey ? await directory.findKey(hash) : undefined;
    if (owner === undefined) {
      if (await isOpen()) return OPEN_PRINCIPAL;
      throw credential === undefined
        ? missingKey()
        : invalidKey(`Incorrect API key provided: ${maskKey(credential)}. Check it, or ask for a new one.`);
    }
    const shown = maskKey(credential ?? "");
    const { revokedAt, expiresAt } = owner.key;
    if (revokedAt !== null) throw invalidKey(`The API key ${shown} was revoked. Ask for a new one.`);
    if (expiresAt !== null && expiresAt <= clock.now())
      throw invalidKey(`The API key ${shown} has expired. Ask for a new one.`);
    return principalOf(owner);
  }

  async function callerOf(headers: Headers): Promise<Principal | "admin"> {
    try {
      return await identify(headers);
    } catch (thrown) {
      if (thrown instanceof ApiError) throw thrown;
      throw unavailable("Keys can't be checked at the moment. Retry shortly.", 1000, thrown);
    }
  }

  return {
    anyone: (_c, next) => next(),
    client: createMiddleware<RequestContext>(async function client(c, next) {
      const caller = await callerOf(c.req.raw.headers);
      if (caller === "admin")
        throw forbidden("The admin key is for the admin API alone. Use a client's key here.");
      c.set("principal", caller);
      await next();
    }),
    operator: createMiddleware<RequestContext>(async function operator(c, next) {
      const caller = await callerOf(c.req.raw.headers);
      if (caller !== OPEN_PRINCIPAL) requireAdmin(config, caller);
      await next();
    }),
    admin: createMiddleware<RequestContext>(async function admin(c, next) {
      if (config.admin.key !== undefined && credentialOf(c.req.raw.headers) === undefined) throw missingKey();
      requireAdmin(config, await callerOf(c.req.raw.headers));
      await next();
    }),
  };
}

function requireAdmin(config: Config, caller: Principal | "admin"): void {
  if (caller === "admin") return;
  throw forbidden(
    config.admin.key === undefined
      ? "The admin API is off. Set `admin.key` in the configuration, or SLUICE_ADMIN_KEY."
      : "You have insufficient permissions for this operation. It needs the admin key.",
  );
}

function credentialOf(headers: Headers): string | undefined {
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(headers.get("authorization") ?? "")?.[1];
  const credential = bearer ?? headers.get("api-key")?.trim() ?? headers.get("x-api-key")?.trim();
  return credential === "" ? undefined : credential;
}

/** RFC 9110 asks for the scheme on every 401. */
const CHALLENGE = { "www-authenticate": 'Bearer realm="Sluice"' };

function missingKey(): ApiError {
  return new ApiError(
    401,
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    { headers: CHALLENGE },
  );
}

function invalidKey(message: string): ApiError {
  return new ApiError(401, message, { code: "invalid_api_key", headers: CHALLENGE });
}

function forbidden(message: string): ApiError {
  return new ApiError(403, message, { type: "permission_error" });
}
