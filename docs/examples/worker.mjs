// A worker in Node (20 or later), without packages: several kinds, several jobs at a time, reports and the next claim in
// one exchange.
//
//   JOBLEDGER_URL=http://127.0.0.1:8470 JOBLEDGER_KEY=jl_… node worker.mjs
//
// In a program of your own: import { work } from "./worker.mjs"; await work({ kind: async (args, job, signal) => … }).
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const URL_ = (process.env.JOBLEDGER_URL ?? "http://127.0.0.1:8470") + "/v1";
const HEADERS = {
  "Authorization": `Bearer ${process.env.JOBLEDGER_KEY ?? ""}`,
  "Content-Type": "application/json",
};

/** What the service refused, by its problem (RFC 9457). */
class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `status ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

// A claim has its number, a report its claim: so a request whose answer was lost is sent again, and does nothing twice.
async function post(path, body, signal) {
  for (let pause = 100; ; pause = Math.min(2 * pause, 5000)) {
    try {
      const answer = await fetch(`${URL_}/${path}`, {
        method: "POST", headers: HEADERS, body: JSON.stringify(body), signal,
      });
      if (answer.ok) return answer.status === 204 ? null : await answer.json();
      const problem = await answer.json().catch(() => ({}));
      if (answer.status < 500 && answer.status !== 429) throw new Refused(answer.status, problem);
    } catch (error) {
      if (error instanceof Refused || signal?.aborted) throw error;
    }
    await sleep(pause * (0.5 + Math.random() / 2));
  }
}

/** Work until `signal` says to stop: finish what runs, report it, and end. */
export async function work(handlers, { concurrency = 10, leaseS = 30, waitS = 20, signal } = {}) {
  while (!signal?.aborted) {
    try {
      await live(handlers, { concurrency, leaseS, waitS, signal });
    } catch (error) {
      // Silent for too long: what was held is given to others, and the worker goes on under a new id.
      if (!(error instanceof Refused) || !["lease_over", "unknown_worker"].includes(error.code)) throw error;
    }
  }
}

async function live(handlers, { concurrency, leaseS, waitS, signal }) {
  const { worker } = await post("workers", { kinds: Object.keys(handlers), lease_s: leaseS });
  const held = new Map();
  const claims = new AbortController();
  let reports = [];
  let call = 0;
  let settled = 0;
  let beat = 0;

  const beating = setInterval(async () => {
    const ids = [...held.keys()];
    try {
      const told = await post(`workers/${worker}/heartbeat`, { held: ids, beat: ++beat, settled });
      for (const id of told.cancel) held.get(id)?.controller.abort("cancel");
      for (const id of [...told.killed, ...told.lost]) held.get(id)?.controller.abort("lost");
    } catch (error) {
      claims.abort(error);
    }
  }, (leaseS * 1000) / 3);

  async function run(job, controller) {
    let outcome = { outcome: "succeeded" };
    try {
      const result = await handlers[job.kind](job.data.args ?? {}, job, controller.signal);
      if (result !== undefined && result !== null) outcome.data = { result };
    } catch (error) {
      outcome = controller.signal.aborted
        ? { outcome: "cancelled" }
        : { outcome: "failed", data: { error: { type: error.name, message: String(error.message), class: "transient" } } };
    }
    if (controller.signal.reason !== "lost") reports.push({ id: job.id, claim: job.claim, ...outcome });
    held.delete(job.id);
  }

  try {
    while (!signal?.aborted || held.size > 0 || reports.length > 0) {
      const sent = reports;
      reports = [];
      const room = signal?.aborted ? 0 : concurrency - held.size;
      if (room > 0) {
        // With nothing to do the claim waits at the service; else it only looks. One that waits when the worker is to
        // stop is asked for again under its number, without waiting: what it has taken meanwhile is not lost.
        const idle = held.size === 0 && sent.length === 0;
        const asked = { call: ++call, n: room, wait_s: idle ? waitS : 0, reports: sent, terse: true };
        const waits = idle && signal ? AbortSignal.any([claims.signal, signal]) : claims.signal;
        const answer = await post(`workers/${worker}/claim`, asked, waits).catch((error) => {
          if (signal?.aborted && !claims.signal.aborted) {
            return post(`workers/${worker}/claim`, { ...asked, wait_s: 0 }, claims.signal);
          }
          throw error instanceof Refused ? error : claims.signal.reason ?? error;
        });
        settled = call;
        for (const job of answer.jobs) {
          const controller = new AbortController();
          held.set(job.id, { controller, done: null });
          held.get(job.id).done = run(job, controller);
        }
      } else if (sent.length > 0) {
        await post(`workers/${worker}/report`, { reports: sent, terse: true });
      }
      if (held.size > 0) await Promise.race([...held.values()].map((one) => one.done));
    }
  } finally {
    clearInterval(beating);
    await post(`workers/${worker}/stop`, { reason: "stopped" }).catch(() => {});
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  await work(
    {
      add: ({ a, b }) => a + b,
      wait: ({ seconds }, _job, signal) => sleep(seconds * 1000, "waited", { signal }),
    },
    { signal: stop.signal },
  );
}
