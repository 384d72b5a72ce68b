import type { Config } from "../shared/config.ts";
import { detectBestEngine, type EngineChoice, type PlatformInfo } from "../shared/detector.ts";
import { isHuggingFaceModel } from "./engines/supervised-kit.ts";

/** The engine that is configured, else the one for this machine as far as it can load the models that are configured. */
export function chooseEngine({ engine, models }: Config, info: PlatformInfo): EngineChoice {
  if (engine !== "auto") return detectBestEngine(info, { forceEngine: engine });
  const choice = detectBestEngine(info);
  const gguf = models.find(({ source }) => !isHuggingFaceModel(source));
  if (gguf === undefined || (choice.engine !== "vllm" && choice.engine !== "mlx")) return choice;
  return {
    engine: "llama_cpp",
    reason: `llama.cpp, since the model ${gguf.id} is a GGUF, which ${choice.engine} can't load.`,
  };
}
