import type { Context, Handler } from "hono";
import type { Engine, EngineLogLine, HostedEngine } from "../../shared/engine.ts";
import { ApiError, invalidRequest, modelNotFound } from "../../shared/openai/errors.ts";
import { encodeEvent, SSE_HEADERS } from "../../shared/openai/sse.ts";
import type { Deps } from "../deps.ts";
import type { RequestContext } from "../middleware/request-context.ts";

export interface EngineRoutes {
  readonly logs: Handler<RequestContext>;
  readonly load: Handler<RequestContext>;
  readonly unload: Handler<RequestContext>;
}

/** Lines that a reader may be behind; the oldest are dropped beyond. */
const MAX_BEHIND = 1000;
const MAX_TAIL = 500;

/** What engines with processes of their own print, and loading and unloading their models by hand. */
export function engineRoutes({ engines }: Pick<Deps, "engines">): EngineRoutes {
  /** The model by the name clients use, on an engine that loads and unloads. */
  function hostOf(id: string): { readonly engine: HostedEngine; readonly model: string } {
    for (const { engine, serves } of engines) {
      const served =
        serves === "any" ? undefined : serves.find((each) => each.id === id || each.aliases.includes(id));
      if (served === undefined) continue;
      if (isHosted(engine)) return { engine, model: served.as };
      throw invalidRequest(`The model \`${id}\` can't be loaded or unloaded while the server runs.`, "model");
    }
    throw modelNotFound(id, []);
  }

  return {
    /** `?model=` where the engine has several, `?tail=` lines, `?follow=true` for events as they come. */
    logs: (c) => {
      const id = c.req.param("id");
      const found = engines.find(({ engine }) => engine.id === id);
      const engine = found !== undefined && isHosted(found.engine) ? found.engine : undefined;
      if (found === undefined || engine === undefined)
        throw new ApiError(404, `No engine \`${id}\` here keeps a log.`, { param: "id" });
      const served = found.serves === "any" ? [] : found.serves;
      const model = c.req.query("model") ?? served[0]?.id ?? "";
      const log = engine.logs(served.find((each) => each.id === model)?.as ?? model);
      if (log === undefined)
        throw modelNotFound(
          model,
          served.map((each) => each.id),
        );
      const tail = tailOf(c);
      if (c.req.query("follow") !== "true") return c.json({ engine: id, model, lines: log.lines(tail) });
      return new Response(followed(log.lines(tail), log.subscribe), { headers: SSE_HEADERS });
    },
    load: async (c) => {
      const id = c.req.param("id") ?? "";
      const { engine, model } = hostOf(id);
      await engine.load(model, c.req.raw.signal);
      return c.json({ id, loaded: true });
    },
    unload: async (c) => {
      const id = c.req.param("id") ?? "";
      const { engine, model } = hostOf(id);
      await engine.unload(model);
      return c.json({ id, loaded: false });
    },
  };
}

function tailOf(c: Context): number {
  const text = c.req.query("tail") ?? "100";
  const tail = Number(text);
  if (!Number.isInteger(tail) || tail < 1 || tail > MAX_TAIL)
    throw invalidRequest(`\`tail\` is ${text}; allowed 1 to ${MAX_TAIL}.`, "tail");
  return tail;
}

function isHosted(engine: Engine): engine is HostedEngine {
  return "logs" in engine && "unload" in engine;
}

/** The lines there are, then those that come. A reader that is too slow misses the oldest. */
function followed(
  first: readonly EngineLogLine[],
  subscribe: (listener: (line: EngineLogLine) => void) => () => void,
): ReadableStream<Uint8Array> {
  const waiting = [...first];
  let wake = () => {};
  const leave = subscribe((line) => {
    waiting.push(line);
    if (waiting.length > MAX_BEHIND) waiting.shift();
    wake();
  });
  return new ReadableStream(
    {
      async pull(controller) {
        if (waiting.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        for (const line of waiting.splice(0)) controller.enqueue(encodeEvent(JSON.stringify(line)));
      },
      cancel() {
        leave();
        wake();
      },
    },
    { highWaterMark: 0 },
  );
}
