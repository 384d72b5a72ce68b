import { describe, expect, it } from "vitest";
import type { EngineLogLine, HostedEngine } from "../../shared/engine.ts";
import { dummy, entryOf, testApp } from "../harness/app.ts";
import { eventsOf } from "../harness/wire.ts";

/** The dummy, as if it ran in a process of its own that has printed `one` and `two`. */
function hosted() {
  const done: string[] = [];
  const listeners = new Set<(line: EngineLogLine) => void>();
  const line = (number: number, text: string): EngineLogLine => ({
    number,
    time: "2026-11-25T00:00:00.000Z",
    text,
  });
  const engine: HostedEngine = {
    ...dummy(),
    load: async (model) => void done.push(`load ${model}`),
    unload: async (model) => void done.push(`unload ${model}`),
    logs: (model) =>
      model !== "on-engine"
        ? undefined
        : {
            lines: (last = 2) => [line(1, "one"), line(2, "two")].slice(-last),
            subscribe: (listener) => {
              listeners.add(listener);
              return () => void listeners.delete(listener);
            },
          },
  };
  const entry = entryOf(engine, { id: "org/model", as: "on-engine", aliases: ["alias"] });
  const app = testApp({ engines: [entry] });
  return {
    app,
    done,
    listeners,
    print: (text: string) => {
      for (const tell of listeners) tell(line(3, text));
    },
  };
}

describe("an engine's models", () => {
  it("are loaded and unloaded by hand, by the names that clients use", async () => {
    const { app, done } = hosted();
    const post = (path: string) => app.rawFetch(path, { method: "POST" });
    expect(await (await post("/v1/system/models/org/model/load")).json()).toEqual({
      id: "org/model",
      loaded: true,
    });
    expect(await (await post("/v1/system/models/alias/unload")).json()).toEqual({
      id: "alias",
      loaded: false,
    });
    expect(done).toEqual(["load on-engine", "unload on-engine"]);
    expect((await post("/v1/system/models/nobody/load")).status).toBe(404);
    const fixed = testApp().rawFetch("/v1/system/models/sluice-demo/unload", { method: "POST" });
    expect((await fixed).status).toBe(400);
  });
});

describe("an engine's log", () => {
  const get = (app: ReturnType<typeof testApp>, query = "") =>
    app.rawFetch(`/v1/system/engines/dummy/logs${query}`);

  it("is told, as many lines as were asked for", async () => {
    const { app } = hosted();
    const texts = async (query: string) =>
      (await (await get(app, query)).json()).lines.map(({ text }: EngineLogLine) => text);
    expect(await texts("")).toEqual(["one", "two"]);
    expect(await texts("?tail=1&model=org/model")).toEqual(["two"]);
    expect((await get(app, "?tail=0")).status).toBe(400);
    expect((await get(app, "?model=nobody")).status).toBe(404);
    expect((await get(testApp())).status).toBe(404);
  });

  it("is followed, until the reader leaves", async () => {
    const { app, print, listeners } = hosted();
    const heard: string[] = [];
    for await (const event of eventsOf(await get(app, "?follow=true"))) {
      heard.push(JSON.parse(event).text);
      if (heard.length === 2) print("three");
      if (heard.length === 3) break;
    }
    expect(heard).toEqual(["one", "two", "three"]);
    expect(listeners.size).toBe(0);
  });
});
