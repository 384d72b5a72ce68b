import { describe, expect, it } from "vitest";
import { explainEnd, firstErrorLine } from "../../../../runtime-node/engines/process-failure.ts";

const CASES: readonly [string, string, string, boolean][] = [
  [
    "vLLM finds the GPU full",
    "ValueError: Free memory on device (3.2/23.6 GiB) on startup is less than desired GPU memory utilization (0.9, 21.3 GiB).",
    "out_of_memory",
    true,
  ],
  [
    "vLLM has no room for its cache",
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
    "context_too_large",
    true,
  ],
  [
    "vLLM's context does not fit",
    "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory. the estimated maximum model length is 4096.",
    "context_too_large",
    true,
  ],
  [
    "PyTorch runs out",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "out_of_memory",
    true,
  ],
  [
    "llama.cpp can't allocate",
    "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 17179869184",
    "out_of_memory",
    true,
  ],
  [
    "a Python server finds its port taken",
    "ERROR: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    "port_taken",
    false,
  ],
  [
    "llama-server finds its port taken",
    "main: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
    "port_taken",
    false,
  ],
  [
    "there is no such repository",
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",
    "model_not_found",
    true,
  ],
  [
    "a path is no model",
    "OSError: /models/none is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    "model_not_found",
    true,
  ],
  [
    "llama-server can't read its file",
    "common_init_from_params: failed to load model '/models/none.gguf'",
    "model_not_found",
    true,
  ],
  ["there is no driver", "RuntimeError: Found no NVIDIA driver on your system.", "no_gpu", true],
  ["vLLM sees no device", "RuntimeError: Failed to infer device type", "no_gpu", true],
  ["WSL has no pinned memory", "RuntimeError: UVA is not available", "no_gpu", true],
  ["argparse refuses", "api_server.py: error: unrecognized arguments: --no-such-flag", "bad_option", true],
  ["Ray where there is no GPU", "ValueError: current platform cpu does not support ray.", "bad_option", true],
  ["llama-server refuses", "error: invalid argument: --no-such-flag", "bad_option", true],
  ["a package is missing", "ModuleNotFoundError: No module named 'vllm'", "not_installed", true],
  ["the disk is full", "OSError: [Errno 28] No space left on device", "disk_full", true],
  ["something else", "AssertionError: never mind", "crashed", false],
];

describe("explainEnd", () => {
  it.each(CASES)("%s", (_name, line, kind, isPermanent) => {
    const output = [
      "INFO starts",
      line,
      "RuntimeError: Engine core initialization failed. See root cause above.",
    ];
    expect(explainEnd({ command: "vllm", exitCode: 1, output })).toMatchObject({
      kind,
      isPermanent,
      line,
      exitCode: 1,
    });
  });

  it("tells of a kill that may have been the system's", () => {
    const failure = explainEnd({ command: "vllm", signal: "SIGKILL", output: [] });
    expect(failure).toMatchObject({ kind: "crashed", isPermanent: false, signal: "SIGKILL" });
    expect(failure.message).toContain("lack of memory");
  });

  it("does not take what a killed engine printed before for the reason", () => {
    const output = [
      "Engine 000: Running: 0 reqs, GPU KV cache usage: 0.0%",
      "ERROR a request failed: CUDA out of memory",
    ];
    expect(explainEnd({ command: "vllm", signal: "SIGKILL", output })).toMatchObject({ kind: "crashed" });
    const line = output.slice(0, 1);
    expect(explainEnd({ command: "vllm", exitCode: 1, output: line })).toMatchObject({ kind: "crashed" });
  });

  it("names the command and what to do", () => {
    expect(explainEnd({ command: "vllm", spawnError: "ENOENT", output: [] }).message).toBe(
      "`vllm` was not found. Install it, or set its path in the configuration.",
    );
  });
});

describe("firstErrorLine", () => {
  it("passes over lines that only point at another", () => {
    const lines = [
      "Traceback (most recent call last):",
      '  File "error.py", line 1',
      "ValueError: no",
      "Failed core proc(s)",
    ];
    expect(firstErrorLine(lines)).toBe("ValueError: no");
    expect(firstErrorLine(["all is well"])).toBeUndefined();
  });

  it("cuts a long one", () => {
    expect(firstErrorLine([`Error: ${"x".repeat(1000)}`])).toHaveLength(302);
  });
});
