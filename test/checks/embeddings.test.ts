import { describe, expect, it } from "vitest";
import { useSites } from "../harness/sites.ts";
import { MODEL } from "../harness/wire.ts";

const { sites } = useSites();
const INPUT = "The quick brown fox";

function decode(base64: string): readonly number[] {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
}

function expectClose(a: readonly number[] | undefined, b: readonly number[]): void {
  expect(a).toHaveLength(b.length);
  for (const [i, value] of b.entries()) expect(a?.[i]).toBeCloseTo(value, 6);
}

describe.each(sites)("embeddings through $name", (site) => {
  const embed = async (input: unknown, more: Record<string, unknown> = {}) => {
    const response = await site.post("/embeddings", { model: MODEL, input, ...more });
    return { status: response.status, body: await response.json() };
  };

  it("E1 the same vector, of length 1, comes for a string, a list, floats, base64 and the SDK's default", async () => {
    const { body } = await embed(INPUT);
    const vector: readonly number[] = body.data[0].embedding;
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    expect(body).toMatchObject({
      object: "list",
      model: MODEL,
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
    const listed = await embed([INPUT, "another one"], { encoding_format: "float" });
    expectClose(listed.body.data[0].embedding, vector);
    expect(listed.body.data.map(({ index }: { index: number }) => index)).toEqual([0, 1]);
    expect(listed.body.usage).toEqual({ prompt_tokens: 6, total_tokens: 6 });
    const encoded = await embed(INPUT, { encoding_format: "base64" });
    expectClose(decode(encoded.body.data[0].embedding), vector);
    const { data } = await site.client().embeddings.create({ model: MODEL, input: INPUT });
    expectClose(data[0]?.embedding, vector);
  });

  it("E1 token ids are inputs too: one list is one input, lists are several", async () => {
    const one = await embed([1, 2, 3]);
    expect(one.body.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
    const two = await embed([[1, 2, 3], [4]]);
    expect(two.body.data).toHaveLength(2);
    expectClose(two.body.data[0].embedding, one.body.data[0].embedding);
  });

  it("E2 fewer dimensions are the first ones, brought back to length 1", async () => {
    const full: readonly number[] = (await embed(INPUT)).body.data[0].embedding;
    const short: readonly number[] = (await embed(INPUT, { dimensions: 16 })).body.data[0].embedding;
    const length = Math.hypot(...full.slice(0, 16));
    expectClose(
      short,
      full.slice(0, 16).map((value) => value / length),
    );
  });

  it.each([
    ["more dimensions than the model has", "x", { dimensions: 100_000 }, "dimensions"],
    ["an empty string", "", {}, "input"],
    ["an empty list", [], {}, "input"],
    ["an empty string in a list", ["x", ""], {}, "input[1]"],
    ["2,049 inputs", Array.from({ length: 2049 }, () => "x"), {}, "input"],
    ["an unknown encoding", "x", { encoding_format: "hex" }, "encoding_format"],
  ])("E2 %s is refused", async (_, input, more, param) => {
    const { status, body } = await embed(input, more);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ type: "invalid_request_error", param });
  });

  it("E2 2,048 inputs are served", async () => {
    const { body } = await embed(Array.from({ length: 2048 }, () => "x"));
    expect(body.data).toHaveLength(2048);
  });
});
