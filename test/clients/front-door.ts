import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface FrontDoor {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Stands before a Worker as Cloudflare does: tells it when a client has left. A client closes with a FIN, which workerd
 * takes for a half-close until it has bytes to write; on a reset it aborts the request's signal at once (measured
 * with workerd 1.20261117.1: FIN before the first byte is never noticed).
 */
export async function startFrontDoor(to: string): Promise<FrontDoor> {
  const { hostname, port } = new URL(to);
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const worker = connect(Number(port), hostname);
    for (const socket of [client, worker]) {
      open.add(socket);
      socket.setNoDelay();
      socket.on("error", () => {}); // Followed by "close", which is acted on.
      socket.once("close", () => open.delete(socket));
    }
    client.pipe(worker).pipe(client);
    client.once("close", () => worker.resetAndDestroy());
    worker.once("close", () => client.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo; // It listens on TCP: never a pipe's string, never null.
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}
