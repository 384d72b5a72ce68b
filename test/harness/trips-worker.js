import worker, { LedgerObject } from "../../functions/worker.ts";

// The Worker, with every question that it puts to a Durable Object in the open. JavaScript, so that the Worker's own
// types need not fit into the tests'. `GET /trips` tells the questions asked so far; `POST /trips/stop` lets none
// through until `POST /trips/go`.
export { LedgerObject };

const asked = [];
let isStopped = false;

export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/trips")) {
      if (pathname !== "/trips") isStopped = pathname === "/trips/stop";
      return Response.json(asked);
    }
    return worker.fetch(request, { ...env, LEDGER: watched(env.LEDGER) }, context);
  },
};

function watched(namespace) {
  return {
    idFromName: (name) => namespace.idFromName(name),
    get: (id) => ({
      async fetch(request) {
        const [question] = JSON.parse(request.headers.get("do-content"));
        asked.push(JSON.parse(question).method);
        while (isStopped) await scheduler.wait(5);
        return await namespace.get(id).fetch(request);
      },
    }),
  };
}
