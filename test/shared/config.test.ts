import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, parseConfig } from "../../shared/config.ts";
import { settings } from "../../shared/config-env.ts";
import { modelIdFromSource } from "../../shared/config-source.ts";
import { FREE } from "../../shared/pricing.ts";

function problemsFrom(raw: unknown, env: Record<string, string> = {}): readonly string[] {
  try {
    parseConfig(raw, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.message);
    throw error;
  }
  return [];
}

const backend = { id: "gpu", url: "http://10.0.0.5:8000/v1" };

describe("the configuration without a file", () => {
  it("serves the demo model on port 8000 of every address", () => {
    const config = parseConfig(undefined, {});
    expect(config).toMatchObject({
      host: "0.0.0.0",
      port: 8000,
      engine: "auto",
      strict: false,
      backends: [],
    });
    expect(config.models).toEqual([
      {
        load: "start",
        id: "sluice-demo",
        source: "demo",
        aliases: [],
        price: FREE,
      },
    ]);
    expect(config.limits).toEqual({
      bodyBytes: 33_554_432,
      inFlight: 1024,
      drainMs: 30_000,
      keepAliveMs: 15_000,
    });
    expect(config.llamaCpp).toEqual({ queueLimit: 256 });
    expect(config.cors).toEqual({ origins: ["*"] });
    expect(config.log).toEqual({ level: "info" });
  });

  it("is also what sections without a value mean", () => {
    expect(parseConfig({ limits: null, models: null, log: { level: null } }, {})).toEqual(
      parseConfig(undefined, {}),
    );
  });
});

describe("models and backends", () => {
  it("runs nothing locally when there are backends and no models", () => {
    expect(parseConfig({ backends: [backend] }, {}).models).toEqual([]);
    expect(parseConfig({ backends: [backend], models: [{ source: "demo" }] }, {}).models).toHaveLength(1);
  });

  it("gives every model its price, exact, and a backend's model its upstream name", () => {
    const config = parseConfig(
      {
        price: { prompt: 1, completion: 2 },
        models: [{ source: "demo", price: { prompt: 0.15, cachedPrompt: 0.075, completion: 0.6 } }],
        backends: [{ ...backend, models: ["a", { id: "b", as: "B-large", weight: 3 }] }],
      },
      {},
    );
    const standard = {
      promptPicoUsd: 1_000_000,
      cachedPromptPicoUsd: 1_000_000,
      completionPicoUsd: 2_000_000,
      reasoningPicoUsd: 2_000_000,
    };
    expect(config.models[0]?.price).toEqual({
      promptPicoUsd: 150_000,
      cachedPromptPicoUsd: 75_000,
      completionPicoUsd: 600_000,
      reasoningPicoUsd: 600_000,
    });
    expect(config.backends[0]?.models).toEqual([
      { id: "a", as: "a", weight: 1, price: standard },
      { id: "b", as: "B-large", weight: 3, price: standard },
    ]);
  });

  it("fills in a backend's timeouts, takes any model it lists, and drops the slash at the end of its URL", () => {
    const [parsed] = parseConfig(
      { backends: [{ ...backend, url: "https://api.example.com/v1/" }] },
      {},
    ).backends;
    expect(parsed).toEqual({
      id: "gpu",
      url: "https://api.example.com/v1",
      connectTimeoutMs: 10_000,
      headersTimeoutMs: 600_000,
      idleTimeoutMs: 300_000,
      onAbort: "cancel",
      drainMs: 60_000,
      models: undefined,
    });
  });

  it.each([
    ["demo", "sluice-demo"],
    ["./models/Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M"],
    ["C:\\models\\tiny.GGUF", "tiny"],
    ["/models/llama-3/", "llama-3"],
    ["/models/big-00001-of-00003.gguf", "big"],
    ["https://example.com/files/phi.gguf?download=true", "phi"],
    ["hf:Qwen/Qwen3-8B-GGUF", "Qwen/Qwen3-8B-GGUF"],
    ["hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", "Qwen/Qwen3-8B-GGUF:Q4_K_M"],
    ["hf:Qwen/Qwen3-8B-GGUF/sub/Qwen3-8B-Q8_0.gguf#main", "Qwen3-8B-Q8_0"],
  ])("names the model of %s %s", (source, id) => {
    expect(modelIdFromSource(source)).toBe(id);
  });
});

describe("the environment", () => {
  it("wins over the file", () => {
    const config = parseConfig(
      { host: "0.0.0.0", port: 8000, limits: { drainMs: 5 } },
      {
        HOST: "127.0.0.1",
        PORT: "9000",
        INFERENCE_ENGINE: "dummy",
        SLUICE_LIMITS_DRAIN_MS: "250",
        SLUICE_STRICT: "true",
        SLUICE_LLAMA_CPP_GPU_LAYERS: "auto",
        SLUICE_LLAMA_CPP_THREADS: "3",
        SLUICE_CORS_ORIGINS: "https://a.example, https://b.example",
        HF_ENDPOINT: "https://hf-mirror.example",
        HF_TOKEN: "hf_x",
      },
    );
    expect(config).toMatchObject({
      host: "127.0.0.1",
      port: 9000,
      engine: "dummy",
      strict: true,
      limits: { drainMs: 250, inFlight: 1024 },
      llamaCpp: { gpuLayers: "auto", threads: 3 },
      cors: { origins: ["https://a.example", "https://b.example"] },
      downloads: { endpoint: "https://hf-mirror.example", token: "hf_x" },
    });
  });

  it("loses to the command line", () => {
    const env = { PORT: "9000", HOST: "127.0.0.1", SLUICE_MODEL: "a.gguf" };
    const flags = { port: "0", engine: "dummy", model: "b.gguf" };
    const config = parseConfig({}, env, { flags });
    expect(config).toMatchObject({ host: "127.0.0.1", port: 0, engine: "dummy", models: [{ id: "b" }] });
  });

  it("prefers a key's own variable to the plain one", () => {
    expect(parseConfig({}, { PORT: "9000", SLUICE_PORT: "9001" }).port).toBe(9001);
  });

  it("sets the first model's source by SLUICE_MODEL, and keeps what else is said of it", () => {
    const models = [{ id: "main", source: "demo" }, { source: "./other.gguf" }];
    const config = parseConfig({ models }, { SLUICE_MODEL: "hf:a/b" });
    expect(config.models.map(({ id, source }) => [id, source])).toEqual([
      ["main", "hf:a/b"],
      ["other", "./other.gguf"],
    ]);
    expect(parseConfig({ backends: [backend] }, { SLUICE_MODEL: "demo" }).models).toHaveLength(1);
  });

  it("counts an empty variable as not set", () => {
    expect(parseConfig({ port: 1234 }, { PORT: "", SLUICE_LOG_LEVEL: "" })).toMatchObject({ port: 1234 });
  });

  it("has one variable for every key outside the lists", () => {
    const variables = settings().map((setting) => setting.variable);
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables).toEqual(
      expect.arrayContaining(["SLUICE_HOST", "SLUICE_LLAMA_CPP_PREFILL_CHUNK", "SLUICE_PRICE_CACHED_PROMPT"]),
    );
  });

  it("refuses a SLUICE_ variable that means nothing", () => {
    expect(problemsFrom({}, { SLUICE_LIMITS_DRAIN: "5", SLUICE_TELEPHONE: "1" })).toEqual([
      "`SLUICE_LIMITS_DRAIN` sets nothing; did you mean SLUICE_LIMITS_DRAIN_MS?",
      "`SLUICE_TELEPHONE` sets nothing; names are the key's path, as in SLUICE_LIMITS_DRAIN_MS",
    ]);
  });

  it("ignores what Kubernetes sets for services called sluice", () => {
    const env = {
      SLUICE_SERVICE_HOST: "10.0.0.1",
      SLUICE_SERVICE_PORT: "80",
      SLUICE_SERVICE_PORT_HTTP: "80",
      SLUICE_PORT: "tcp://10.0.0.1:80",
      SLUICE_PORT_80_TCP: "tcp://10.0.0.1:80",
      SLUICE_PORT_80_TCP_PROTO: "tcp",
      SLUICE_PORT_80_TCP_ADDR: "10.0.0.1",
      SLUICE_REDIS_PORT: "tcp://10.0.0.2:6379",
      SLUICE_CONFIG: "/etc/sluice.yaml",
    };
    expect(parseConfig({}, env).port).toBe(8000);
  });

  it("reads only text from a Worker's bindings", () => {
    const bindings = { LEDGER: {}, SLUICE_LEDGER: { idFromName: () => 1 }, KEY: "k" };
    expect(parseConfig({ backends: [{ ...backend, apiKey: `\${KEY}` }] }, bindings).backends[0]?.apiKey).toBe(
      "k",
    );
  });
});

describe("references to the environment in values", () => {
  it("are replaced, with defaults, and as the type that the key has", () => {
    const raw = {
      port: `\${API_PORT}`,
      strict: `\${STRICT:-true}`,
      price: { prompt: `\${PRICE}`, completion: 1 },
      backends: [
        {
          id: "a",
          url: `https://\${REGION:-eu}.example.com/v1`,
          apiKey: `\${KEY}`,
          headers: { "X-Note": `$\${KEY}` },
        },
      ],
    };
    const config = parseConfig(raw, { API_PORT: "81", PRICE: "0.5", KEY: "secret" });
    expect(config).toMatchObject({ port: 81, strict: true, price: { promptPicoUsd: 500_000 } });
    expect(config.backends[0]).toMatchObject({
      url: "https://eu.example.com/v1",
      apiKey: "secret",
      headers: { "X-Note": `\${KEY}` },
    });
  });

  it("are not looked for in what the environment holds", () => {
    const config = parseConfig({ backends: [{ ...backend, apiKey: `\${KEY}` }] }, { KEY: `\${OTHER}` });
    expect(config.backends[0]?.apiKey).toBe(`\${OTHER}`);
  });

  it("leave a key out when the default is empty", () => {
    const raw = {
      llamaCpp: { threads: `\${THREADS:-}` },
      backends: [{ ...backend, apiKey: `\${KEY:-}`, headers: { "X-Org": `\${ORG:-}` } }],
    };
    const config = parseConfig(raw, { KEY: "" });
    expect(config.llamaCpp.threads).toBeUndefined();
    expect(config.backends[0]).toMatchObject({ headers: {} });
    expect(config.backends[0]?.apiKey).toBeUndefined();
    expect(parseConfig(raw, { ORG: "us", THREADS: "2" })).toMatchObject({
      llamaCpp: { threads: 2 },
      backends: [{ headers: { "X-Org": "us" } }],
    });
  });

  it("are one problem each when the variable is not set, with path and name", () => {
    const raw = { port: `\${API_PORT}`, backends: [{ id: "a", url: `\${URL_A}`, apiKey: `\${bad name}` }] };
    expect(problemsFrom(raw, { API_PORT: "" })).toEqual([
      `\`port\` needs the environment variable API_PORT, which is not set; set it, or write \${API_PORT:-default}`,
      `\`backends[0].url\` needs the environment variable URL_A, which is not set; set it, or write \${URL_A:-default}`,
      `\`backends[0].apiKey\` has a \${ that is no reference; allowed: \${NAME} or \${NAME:-default}, and $\${ for the characters themselves`,
    ]);
  });

  it("need no value where a variable or a flag sets the key", () => {
    expect(parseConfig({ port: `\${API_PORT}` }, { PORT: "7000" }).port).toBe(7000);
  });
});

it("refuses two prices for one model: whoever answers, it costs the same", () => {
  const models = (completion: number) => [{ id: "m", price: { prompt: 1, completion } }];
  const backends = (second: number) => [
    { id: "a", url: "http://a/v1", models: models(2) },
    { id: "b", url: "http://b/v1", models: models(second) },
  ];
  expect(problemsFrom({ backends: backends(2) })).toEqual([]);
  expect(problemsFrom({ backends: backends(3) })).toEqual([
    expect.stringContaining("`backends[1].models[0].price`"),
  ]);
});

it("refuses a key that is neither given nor hashed, and a name that is taken", () => {
  const key = { id: "web", sha256: "0".repeat(64) };
  expect(problemsFrom({ keys: [key] })).toEqual([]);
  expect(problemsFrom({ keys: [key, { id: "web" }] })).toHaveLength(2);
  expect(problemsFrom({ ledger: { store: "postgres" } })).toEqual([expect.stringContaining("`ledger.url`")]);
});

describe("a configuration that is wrong", () => {
  it("is refused with every problem, its value and what is allowed", () => {
    const raw = {
      host: "127.0.0.1:80",
      port: 99_999,
      engine: "onnx",
      prot: 1,
      limits: { drianMs: 5, inFlight: 0, bodyBytes: "big" },
      llamaCpp: { gpuLayers: "all" },
      models: [{ source: "ftp://x/y.gguf" }, {}, { source: "a.gguf", aliases: "b" }],
      backends: [
        { id: "vllm", url: "api.example.com/v1" },
        { id: "b", url: "https://user:pw@x.example/v1", models: [{ name: "x" }, 4], idleTimeoutMs: -1 },
        { id: "b", url: "https://y.example/v1", headers: { "a b": "c" } },
      ],
      cors: { origins: ["https://a.example/path"] },
      log: { level: "loud" },
      strict: "yes",
    };
    const messages = problemsFrom(raw).toSorted();
    expect(messages).toEqual(
      [
        '`host` is "127.0.0.1:80"; allowed: an address or host name, without port',
        "`port` is 99999; allowed: a whole number from 0 to 65535",
        '`engine` is "onnx"; allowed: auto, vllm, mlx, llama_cpp, llama_server, dummy',
        "`prot` (1) is not a setting; did you mean port? allowed: host, port, engine, models, llamaCpp, vllm, mlx, llamaServer, loading, backends, price, auth, admin, keys, accounts, ledger, webhooks, idempotencyTtlMs, limits, downloads, cors, log, strict",
        "`limits.drianMs` (5) is not a setting; did you mean drainMs? allowed: bodyBytes, inFlight, drainMs, keepAliveMs",
        "`limits.inFlight` is 0; allowed: a whole number from 1 to 1000000",
        '`limits.bodyBytes` is "big"; allowed: a whole number from 1024 to 1073741824',
        '`llamaCpp.gpuLayers` is "all"; allowed: a whole number from 0 to 10000 or "auto"',
        '`models[0].source` is "ftp://x/y.gguf"; allowed: demo, a path, an http(s) URL, hf:user/repo[:quant] or hf:user/repo/file.gguf',
        "`models[1].source` is missing; needed: Where the model comes from: `demo` (built in), a path, an https URL, `hf:user/repo[:quant]` or `hf:user/repo/file.gguf`.",
        '`models[2].aliases` is "b"; allowed: a list of text',
        '`backends[0].id` is "vllm"; allowed: an id that is no engine\'s name (vllm, mlx, llama_cpp, llama_server, dummy)',
        '`backends[0].url` is "api.example.com/v1"; allowed: an http or https URL without credentials, query or fragment, such as https://api.example.com/v1',
        '`backends[1].url` is "https://***@x.example/v1"; allowed: an http or https URL without credentials, query or fragment, such as https://api.example.com/v1',
        '`backends[1].models[0].name` ("x") is not a setting; allowed: id, as, weight, maxTokens, price',
        "`backends[1].models[0].id` is missing; needed: The name clients use.",
        "`backends[1].models[1]` is 4; allowed: text or a mapping with id, as, weight, maxTokens, price",
        "`backends[1].idleTimeoutMs` is -1; allowed: a whole number from 1 to 86400000",
        '`backends[2].id` is "b"; allowed: a backend id that is not taken (backends[1] has it)',
        "`backends[2].headers.a b` is (hidden); allowed: a header's name",
        '`cors.origins[0]` is "https://a.example/path"; allowed: "*" or an origin such as https://app.example.com',
        '`log.level` is "loud"; allowed: debug, info, warn, error',
        '`strict` is "yes"; allowed: true or false',
      ].toSorted(),
    );
  });

  it("names the variable or the flag that set a value", () => {
    expect(problemsFrom({}, { PORT: "99999", SLUICE_CORS_ORIGINS: "*,x" })).toEqual([
      "`port` is 99999 (set by PORT); allowed: a whole number from 0 to 65535",
      '`cors.origins[1]` is "x" (set by SLUICE_CORS_ORIGINS); allowed: "*" or an origin such as https://app.example.com',
    ]);
    expect(() => parseConfig({}, {}, { flags: { engine: "onnx" } })).toThrow(/"onnx" \(set by --engine\)/);
  });

  it("lists its problems one a line in one error", () => {
    const attempt = () => parseConfig({ port: -1, engine: 5 }, {}, { file: "sluice.yaml" });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(
      /^The configuration \(sluice\.yaml\) has 2 problems:\n {2}`port` is -1.*\n {2}`engine` is 5.*$/,
    );
  });

  it("never shows a secret", () => {
    const raw = {
      downloads: { token: ["s3cret"], tokn: 1 },
      backends: [
        { ...backend, apiKey: { key: "s3cret" }, headers: { Authorization: 5, "X-Key": ["s3cret"] } },
      ],
      models: { apiKey: "s3cret" },
    };
    const messages = problemsFrom(raw).join("\n");
    expect(messages).toContain("`backends[0].apiKey` is (hidden)");
    expect(messages).not.toContain("s3cret");
    const references = {
      port: `\${SECRET}`,
      bearer: `\${SECRET}`,
      auth: [{ value: `\${SECRET}` }],
      downloads: { token: `\${s3cret` },
      backends: [{ ...backend, url: `\${SECRET}`, "api-key": "s3cret" }],
    };
    const shown = problemsFrom(references, { SECRET: "s3cret" });
    expect(shown).toHaveLength(6);
    expect(shown.join("\n")).not.toContain("s3cret");
  });

  it("refuses the same name for two models, also by alias or derived", () => {
    const models = [{ source: "a/x.gguf" }, { source: "b/x.gguf" }, { source: "demo", aliases: ["x"] }];
    expect(problemsFrom({ models })).toEqual([
      '`models[1].source` is "b/x.gguf"; allowed: a model name that is not taken (models[0] has it)',
      '`models[2].aliases[0]` is "x"; allowed: a model name that is not taken (models[0] has it)',
    ]);
  });

  it.each([
    ["a list", []],
    ["text", "port: 1"],
    ["a number", 3],
  ])("refuses %s in the place of the mapping", (_what, raw) => {
    expect(problemsFrom(raw)[0]).toMatch(/^The configuration is .*; allowed: a mapping with host, port/);
  });

  it("throws nothing but a ConfigError, whatever it is given", () => {
    const key = fc.constantFrom(
      "port",
      "models",
      "backends",
      "limits",
      "source",
      "id",
      "models",
      "price",
      "x",
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom(`\${X}`, "demo", "https://x.example", 1),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(key, tie("value"), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (raw) => {
        expect(() => problemsFrom(raw)).not.toThrow();
      }),
      { numRuns: 200 },
    );
  });
});
