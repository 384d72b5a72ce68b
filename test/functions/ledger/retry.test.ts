import { describe, expect, it } from "vitest";
import { callObject } from "../../../functions/ledger/retry.ts";
import { ApiError } from "../../../shared/openai/errors.ts";

/** Fails with each of `failures` in turn, then answers. */
function failing(...failures: readonly object[]) {
  const left = failures.map((flags) => Object.assign(new Error("reset"), flags));
  const calls = { made: 0 };
  return {
    calls,
    call: async () => {
      calls.made++;
      const failure = left.shift();
      if (failure !== undefined) throw failure;
      return "done";
    },
  };
}

describe("a call of a Durable Object", () => {
  it("is made again where the platform says that it may be", async () => {
    const { call, calls } = failing({ retryable: true }, { retryable: true });
    expect(await callObject(call, true)).toBe("done");
    expect(calls.made).toBe(3);
  });

  it.each([
    ["overloaded", { retryable: true, overloaded: true }],
    ["broken in a way that will not pass", {}],
  ])("is not made again when the object is %s: 503 with the cause", async (_, flags) => {
    const { call, calls } = failing(flags);
    const thrown = await callObject(call, true).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ApiError);
    expect(thrown).toMatchObject({ status: 503, retryAfterMs: 1000, cause: flags });
    expect(calls.made).toBe(1);
  });

  it("is not made again where twice isn't once", async () => {
    const { call, calls } = failing({ retryable: true });
    await expect(callObject(call, false)).rejects.toMatchObject({ status: 503 });
    expect(calls.made).toBe(1);
  });

  it("is given up after the third time", async () => {
    const { call, calls } = failing({ retryable: true }, { retryable: true }, { retryable: true });
    await expect(callObject(call, true)).rejects.toMatchObject({ status: 503 });
    expect(calls.made).toBe(3);
  });
});
