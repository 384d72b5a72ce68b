import { describe, expect, it } from "vitest";
import { createPool } from "../../../runtime-node/ledger/postgres-pool.ts";
import { createLogSpy } from "../../harness/log-spy.ts";

/** Nobody listens there, and nothing here connects. */
const URL_OF_NONE = "postgres://sluice:secret@127.0.0.1:1/none";

function failing(code: string, times: number) {
  const state = { tries: 0 };
  const work = async () => {
    state.tries += 1;
    if (state.tries <= times) throw Object.assign(new Error(`failed with ${code}`), { code });
    return "done";
  };
  return { state, work };
}

describe("the pool of connections to Postgres", () => {
  it.each(["40001", "40P01"])("tries again what was given up for others' sake: %s", async (code) => {
    const { state, work } = failing(code, 3);
    expect(await createPool(URL_OF_NONE, createLogSpy()).run(work)).toBe("done");
    expect(state.tries).toBe(4);
  });

  it("doesn't try for ever", async () => {
    const { state, work } = failing("40P01", Number.POSITIVE_INFINITY);
    await expect(createPool(URL_OF_NONE, createLogSpy()).run(work)).rejects.toMatchObject({ status: 503 });
    expect(state.tries).toBe(5);
  });

  it.each(["57014", "57P03", "53300", "53100", "25006", "08006", "ECONNREFUSED"])(
    "answers 503 where the database can't serve now (%s), and logs it once until it can",
    async (code) => {
      const log = createLogSpy();
      const pool = createPool(URL_OF_NONE, log);
      for (let i = 0; i < 3; i += 1)
        await expect(pool.run(failing(code, 1).work)).rejects.toMatchObject({
          status: 503,
          message: "The ledger can't be reached now. Try again shortly.",
        });
      await pool.run(async () => "done");
      expect(log.text().match(/can't be asked/g)).toHaveLength(1);
      expect(log.text()).toMatch(/Postgres answers again$/);
    },
  );

  it.each(["23505", "42883", "22P02"])("lets a fault of ours be seen as one: %s", async (code) => {
    const pool = createPool(URL_OF_NONE, createLogSpy());
    await expect(pool.run(failing(code, 1).work)).rejects.toThrow(`failed with ${code}`);
  });
});
