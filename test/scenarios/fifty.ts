import { expect } from "vitest";
import { answerJson, answerOf, type Upstream } from "../harness/upstream.ts";
import { gate } from "../harness/wire.ts";

/** 200 clients at once, with a balance that covers 50 of them: those reach the backend, and no other. */
export async function letInFifty(upstream: Upstream, ask: () => Promise<Response>): Promise<void> {
  const { opened, open } = gate();
  upstream.play(async (response, request) => {
    await opened;
    await answerJson(200, answerOf("hi"))(response, request);
  });
  const statuses: number[] = [];
  const asking = Array.from({ length: 200 }, async () => {
    const response = await ask();
    statuses.push(response.status);
    const body = await response.json();
    if (response.status === 429) expect(body.error.code).toBe("insufficient_quota");
    // Every other one has been refused: what runs now is all that was let in.
    if (statuses.length === 150) open();
  });
  await Promise.all(asking);
  expect(statuses.filter((status) => status === 429)).toHaveLength(150);
  expect(statuses.filter((status) => status === 200)).toHaveLength(50);
  expect(upstream.requests).toHaveLength(50);
}
