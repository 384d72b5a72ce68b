import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkSlos, type Figures, parseSlo, requestLimits, type Slo } from "../../../loadtest/analyze/slo.ts";

const figures: Figures = {
  requests: 1000,
  failures: 40,
  requestsPerSecond: 0.9,
  completionTokensPerSecond: 120,
  goodput: { share: 0.9, requestsPerSecond: 0.8 },
  metrics: { ttft: distribution(480) },
  cpuPercent: undefined,
};

describe("parseSlo", () => {
  it.each([
    ["ttft_p95=500ms", 500, "ms", false],
    ["e2e_mean=3s", 3000, "ms", false],
    ["icl_p99.9=250us", 0.25, "ms", false],
    ["queue_max = 1 min", 60_000, "ms", false],
    ["success=95%", 95, "%", true],
    ["goodput=99.5%", 99.5, "%", true],
    ["cpu_mean=80%", 80, "%", false],
    ["requests_per_minute=50", 50, "/min", true],
    ["tokens_per_second=10.5", 10.5, "/s", true],
  ])("reads %s", (text, limit, unit, isAtLeast) => {
    expect(parseSlo(text)).toMatchObject({ ok: true, slo: { text, limit, unit, isAtLeast } });
  });

  it.each([
    ["ttft_p95", "name=value"],
    ["=5ms", "name=value"],
    ["ttft_p94=1s", "`ttft_p94` is not known"],
    ["ttft_p95_p50=1s", "is not known"],
    ["latency_p95=1s", "allowed: ttft"],
    ["ttft_p95=500", "a time such as 500ms"],
    ["ttft_p95=-5ms", "a time such as"],
    ["success=0.95", "a share from 0% to 100%"],
    ["success=101%", "a share from 0% to 100%"],
    ["requests_per_second=many", "a number"],
  ])("refuses %s and says what is allowed", (text, reason) => {
    const parse = parseSlo(text);
    expect(parse).toMatchObject({ ok: false });
    expect(parse.ok ? "" : parse.problem).toContain(reason);
  });

  it("never throws, whatever it is given", () => {
    fc.assert(fc.property(fc.string(), (text) => typeof parseSlo(text).ok === "boolean"));
  });
});

describe("checkSlos", () => {
  it("holds upper and lower bounds against the figures, in their units", () => {
    const texts = [
      "ttft_p95=480ms",
      "ttft_p95=479ms",
      "success=96%",
      "success=97%",
      "requests_per_minute=54",
    ];
    const checks = checkSlos(texts.map(slo), figures);
    expect(checks.map(({ isHeld }) => isHeld)).toEqual([true, false, true, false, true]);
    expect(checks[2]?.actual).toBeCloseTo(96);
  });

  it("holds a share that is exactly as asked", () => {
    const exact = {
      ...figures,
      requests: 100,
      failures: 7,
      goodput: { share: 57 / 100, requestsPerSecond: 1 },
    };
    expect(checkSlos([slo("success=93%"), slo("goodput=57%")], exact)).toMatchObject([
      { actual: 93, isHeld: true },
      { actual: 57, isHeld: true },
    ]);
  });

  it("counts an objective as broken when the run has no such figure", () => {
    const checks = checkSlos([slo("tpot_p95=1s"), slo("cpu_mean=80%")], figures);
    expect(checks).toMatchObject([
      { actual: null, isHeld: false },
      { actual: null, isHeld: false },
    ]);
    const nothing = { ...figures, requests: 0, failures: 0 };
    expect(checkSlos([slo("success=0%")], nothing)).toMatchObject([{ isHeld: false }]);
  });
});

describe("requestLimits", () => {
  it("asks of each request what objectives ask of its percentiles, the strictest", () => {
    const limits = requestLimits([slo("ttft_p95=500ms"), slo("ttft_p50=200ms"), slo("success=95%")]);
    expect(limits).toEqual({ ttft: 200 });
  });
});

function slo(text: string): Slo {
  const parse = parseSlo(text);
  if (!parse.ok) throw new Error(parse.problem);
  return parse.slo;
}

function distribution(value: number) {
  const percentiles = { p50: value, p66: value, p75: value, p80: value, p90: value, p95: value, p98: value };
  const rest = { p99: value, p99_9: value, p99_99: value, count: 960, min: value, max: value };
  return { ...percentiles, ...rest, mean: value, sd: 0 };
}
