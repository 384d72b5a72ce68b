import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { isSameHash, makeKey, makeKeyId, maskKey } from "../../shared/key.ts";

it("makes keys of 256 bits in letters and digits, never the same", async () => {
  const made = await Promise.all(Array.from({ length: 200 }, makeKey));
  for (const { key } of made) expect(key).toMatch(/^sk-slc-[A-Za-z0-9]{43}$/);
  expect(new Set(made.map(({ key }) => key)).size).toBe(made.length);
  // Each of the 62 letters turns up among 8,600 of them; one is missing with a chance below 1e-58.
  expect(new Set(made.flatMap(({ key }) => [...key.slice(7)])).size).toBe(62);
});

it("keeps the SHA-256 and the last four", async () => {
  const { key, sha256, hint } = await makeKey();
  expect(sha256).toBe(createHash("sha256").update(key).digest("hex"));
  expect(key.endsWith(hint)).toBe(true);
  expect(hint).toHaveLength(4);
});

it("names keys by ids of their own", () => {
  expect(makeKeyId()).toMatch(/^key_[A-Za-z0-9]{16}$/);
  expect(makeKeyId()).not.toBe(makeKeyId());
});

it("tells hashes apart that differ anywhere", () => {
  expect(isSameHash("abc", "abc")).toBe(true);
  for (const other of ["abd", "bbc", "ab", "abcd", ""]) expect(isSameHash("abc", other)).toBe(false);
});

it("shows too little of a key to use it", () => {
  expect(maskKey("sk-slc-0123456789abcdefghij")).toBe("sk-slc-***ghij");
  expect(maskKey("a-short-password")).toBe("***");
});
