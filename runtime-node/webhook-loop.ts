import type { DeliverOptions } from "../functions/webhooks.ts";
import { deliverDue } from "../functions/webhooks.ts";

export interface WebhookLoop {
  /** Resolves when the posts on their way have ended. */
  stop(): Promise<void>;
}

/** How soon after it was settled a receipt is told, in ms. */
const EVERY_MS = 1000;

/** Posts what is due, every second, one round at a time. */
export function startWebhookLoop(options: DeliverOptions): WebhookLoop {
  let isStopped = options.webhooks.length === 0;
  let round: Promise<void> | undefined;

  async function deliverAll(): Promise<void> {
    try {
      while (!isStopped && (await deliverDue(options)) > 0);
    } catch (error) {
      options.log.error("webhooks can't be read from the ledger", { error: String(error) });
    }
  }
  const timer = setInterval(() => {
    round ??= deliverAll().finally(() => {
      round = undefined;
    });
  }, EVERY_MS).unref();
  if (isStopped) clearInterval(timer);

  return {
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await round;
    },
  };
}
