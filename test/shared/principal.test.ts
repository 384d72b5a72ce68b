import { expect, it } from "vitest";
import type { AccountRecord, Grant, KeyRecord } from "../../shared/directory.ts";
import { mayAsk, principalOf } from "../../shared/principal.ts";

const plain: Grant = { models: null, limits: {}, modelLimits: {}, labels: {} };

function principal(account: Partial<AccountRecord> = {}, key: Partial<KeyRecord> = {}) {
  return principalOf({
    account: { ...plain, id: "acme", isPrepaid: false, createdAt: 0, ...account },
    key: {
      ...plain,
      id: "key_1",
      sha256: "",
      hint: "",
      account: "acme",
      createdAt: 0,
      expiresAt: null,
      revokedAt: null,
      ...key,
    },
  });
}

it.each([
  [null, null, "any", true],
  [["a"], null, "a", true],
  [["a"], null, "b", false],
  [null, ["a"], "b", false],
  [["a", "b"], ["b", "c"], "b", true],
  [["a", "b"], ["b", "c"], "c", false],
  [["a"], ["b"], "a", false],
  [[], null, "a", false],
])("allows what account %j and key %j both have: %s is %s", (ofAccount, ofKey, model, expected) => {
  expect(mayAsk(principal({ models: ofAccount }, { models: ofKey }), model)).toBe(expected);
});

it("counts a request against every limit of its account, key and model, and no other", () => {
  const { scopesFor, allScopes } = principal(
    { limits: { requestsPerMinute: 9 }, modelLimits: { big: { tokensPerMinute: 8 } } },
    {
      limits: { totalNanoUsd: 7 },
      modelLimits: { big: { concurrentRequests: 6 }, small: { monthlyNanoUsd: 5 } },
    },
  );
  expect(scopesFor(new Set(["big"]))).toEqual([
    { name: "account", limits: { requestsPerMinute: 9 } },
    { name: "key:key_1", limits: { totalNanoUsd: 7 } },
    { name: "model:big", limits: { tokensPerMinute: 8 } },
    { name: "key:key_1/model:big", limits: { concurrentRequests: 6 } },
  ]);
  expect(scopesFor(new Set(["other"])).map(({ name }) => name)).toEqual(["account", "key:key_1"]);
  expect(allScopes().map(({ name }) => name)).toEqual([
    "account",
    "key:key_1",
    "model:big",
    "key:key_1/model:big",
    "key:key_1/model:small",
  ]);
});

it("has no scopes where nothing is limited, and no limits by the names of objects", () => {
  const { scopesFor } = principal({ limits: { requestsPerMinute: undefined } });
  expect(scopesFor(new Set(["m"]))).toEqual([]);
  expect(scopesFor(new Set(["constructor"]))).toEqual([]);
  expect(scopesFor(new Set(["__proto__"]))).toEqual([]);
});
