import type { Result, Verdict } from "../result.ts";
import { figure, plain, type Table, toned } from "./tables.ts";
import type { Language, Say } from "./words.ts";

type Check = Verdict["checks"][number];

/** The client's checks of itself (verdict.ts) in Chinese; what isn't here is shown as it was written. */
const CHINESE = new Map<string, { readonly name: string; readonly message: string }>([
  ["event-loop delay p99", { name: "事件循环延迟 p99", message: "客户端处理不过来，请把负载分散到更多机器" }],
  ["event-loop utilisation", { name: "事件循环占用率", message: "客户端线程繁忙，其自身开销已计入延迟" }],
  ["client CPU", { name: "客户端 CPU", message: "客户端需要的 CPU 超过一个线程" }],
  ["garbage collection", { name: "垃圾回收", message: "客户端因垃圾回收而停顿" }],
  ["client errors", { name: "客户端错误", message: "系统拒绝分配文件或端口（ulimit -n、临时端口）" }],
  ["waiting for a CPU", { name: "等待 CPU", message: "客户端需要 CPU 时被其他进程占用" }],
  ["steal", { name: "被虚拟化层占用", message: "虚拟化层占用了本机的 CPU" }],
  ["dispatch slip p99", { name: "发送延误 p99", message: "客户端自身发送请求过晚" }],
  ["resolution of ttft", { name: "TTFT 分辨率", message: "TTFT 已接近客户端自身开销，测不准" }],
  ["resolution of icl", { name: "ICL 分辨率", message: "ICL 已接近客户端自身开销，测不准" }],
  ["steady window", { name: "稳态窗口", message: "运行在所有用户就绪之前结束，数据包含爬升阶段" }],
]);

/** Why a run is invalid or doubtful, a line each, the invalidating first. */
export function objections({ verdict }: Result, language: Language): readonly string[] {
  if (language === "en") return verdict.reasons;
  const rank = ({ level }: Check) => (level === "invalid" ? 0 : 1);
  return verdict.checks
    .filter(({ level }) => level !== "ok")
    .toSorted((one, other) => rank(one) - rank(other))
    .map(
      (check) => `${checkName(check.name, language)} ${amount(check.value, check.unit)}：${messageOf(check)}`,
    );
}

export function clientChecks({ verdict, calibration }: Result, say: Say): Table | undefined {
  if (verdict.checks.length === 0) return undefined;
  const tones = { ok: "good", warn: "warn", invalid: "bad" } as const;
  const levels = { ok: say("ok"), warn: say("warn"), invalid: say("invalidLevel") };
  return {
    title: say("clientChecks"),
    head: [say("check"), say("value"), say("warnFrom"), say("invalidFrom"), say("level")],
    rows: verdict.checks.map((check) => [
      plain(checkName(check.name, say.language)),
      plain(amount(check.value, check.unit)),
      plain(check.warn === null ? "–" : amount(check.warn, check.unit)),
      plain(amount(check.invalid, check.unit)),
      toned(levels[check.level], tones[check.level]),
    ]),
    ...(calibration === null ? {} : { note: ceiling(calibration, say) }),
  };
}

function ceiling(
  { requestsPerSecond, chunksPerSecond, streams, overheadMs }: NonNullable<Result["calibration"]>,
  say: Say,
): string {
  const rates = `${figure(requestsPerSecond)} ${say("requestsPerSecond")}, ${figure(chunksPerSecond)} chunks/s, ${streams} streams`;
  return `${say("ceiling")}: ${rates}; +${figure(overheadMs.p50)} ms p50, +${figure(overheadMs.p99)} ms p99`;
}

export function checkName(name: string, language: Language): string {
  return language === "zh" ? (CHINESE.get(name)?.name ?? name) : name;
}

function messageOf({ name, message }: Check): string {
  return CHINESE.get(name)?.message ?? message;
}

function amount(value: number, unit: string): string {
  return `${Number.isFinite(value) ? figure(value) : "∞"} ${unit}`.trim();
}
