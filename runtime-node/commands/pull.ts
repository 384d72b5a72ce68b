import type { Command } from "commander";
import { readConfig } from "../config-file.ts";
import { createProgressBar, resolveModel } from "../models/download.ts";

export function configurePull(command: Command): void {
  command
    .argument("<source>", "a URL of a GGUF, hf:user/repo[:quant] or hf:user/repo/file.gguf")
    .option("-c, --config <file>", "configuration file (default: sluice.yaml, or SLUICE_CONFIG)")
    .action(pull);
}

async function pull(source: string, flags: { readonly config?: string }): Promise<void> {
  const { config } = await readConfig({ path: flags.config, env: process.env });
  const { cacheDir, endpoint, token } = config.downloads;
  const bar = createProgressBar();
  try {
    const { path } = await resolveModel(source, { cacheDir, endpoint, token, onProgress: bar.update });
    bar.stop();
    process.stdout.write(`${path}\n`);
  } finally {
    bar.stop();
  }
}
