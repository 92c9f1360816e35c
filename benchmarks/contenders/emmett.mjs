// Emmett's clients: the same tasks as tasks.py, and the same conversation as agent.py.
//
//   node emmett.mjs 'dbname=… host=… port=…'
//
// Each task runs in up to four processes, which share its clients.

import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
const packages = path.join(here, '..', '..', '.cache', 'bench', 'node', 'package.json');
const require = createRequire(packages);
const PROBE = 'XXX';
const WARM_UP = 12;
const NOTE = 'a payment of the usual kind, for the usual reasons, by the usual people, and no more';
const MOST_PROCESSES = 4;
const BATCH = 1000;

const deposited = (amount = 100, reference = randomUUID()) => ({
  type: 'Deposited',
  data: { amount, currency: 'EUR', reference, note: NOTE },
});
const now = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const dice = (least, most) => least + Math.floor(Math.random() * (most - least + 1));

function address(conninfo) {
  const words = Object.fromEntries(conninfo.split(' ').map((word) => word.split('=')));
  const host = encodeURIComponent(words.host);
  return `postgresql://postgres@/${words.dbname}?host=${host}&port=${words.port}`;
}

// A stream's row is updated without looking first, so writers of one stream refuse each other.
async function append(store, stream, events) {
  for (;;) {
    try {
      return await store.appendToStream(stream, events);
    } catch (error) {
      const again =
        error.constructor.name.includes('ExpectedVersionConflict') || error.code === '23505';
      if (!again) throw error;
    }
  }
}

function range(first, last, step) {
  const found = [];
  for (let n = first; n <= last; n += step) found.push(n);
  return found;
}

// Each task: async (store, place) => async () => result. What is outside is preparation.
const tasks = {
  install: async (store) => async () => {
    await store.schema.migrate();
    return {};
  },

  write: async (store, place, { seconds, streams, category = 'account', per_second = 0 }) => {
    const own = streams >= place.clients;
    const pick = () => {
      if (!own) return `${category}-${dice(1, streams)}`;
      const mine = Math.ceil((streams - place.number) / place.clients);
      return `${category}-${1 + place.number + place.clients * dice(0, mine - 1)}`;
    };
    for (let n = 0; n < WARM_UP; n++) await append(store, pick(), [deposited()]);
    return async () => {
      const start = now();
      let written = 0;
      let event = deposited();
      while (now() < start + seconds * 1000 && !place.stopped) {
        if (per_second) {
          const ahead = start + (written / per_second) * 1000 - now();
          if (ahead > 0) await sleep(ahead);
        }
        event = deposited();
        await append(store, pick(), [event]);
        written += 1;
      }
      return {
        written,
        seconds: (now() - start) / 1000,
        stored: written + WARM_UP,
        reference: event.data.reference,
      };
    };
  },

  batches: async (store, place, { size, seconds }) => {
    const events = range(0, size - 1, 1).map((n) => deposited(n));
    const key = randomUUID().slice(0, 8);
    for (let n = 0; n < 2; n++) await store.appendToStream(`warm-${key}${n}`, events);
    return async () => {
      const times = [];
      const until = now() + seconds * 1000;
      while (times.length === 0 || now() < until) {
        const start = now();
        await store.appendToStream(`batch-${key}${times.length}`, events);
        times.push((now() - start) / 1000);
      }
      const stored = (times.length + 2) * size;
      return { times, stored, reference: events[size - 1].data.reference };
    };
  },

  fill: async (store, place, { count, each, category = 'account', name = 'filled' }) => async () => {
    const firsts = range(1, count, each).filter((_, n) => n % place.clients === place.number);
    for (const first of firsts) {
      const last = Math.min(first + each - 1, count);
      const stream = `${category}-${name}${1 + Math.floor((first - 1) / each)}`;
      for (let start = first; start <= last; start += 1000) {
        const part = range(start, Math.min(start + 999, last), 1);
        await store.appendToStream(stream, part.map((n) => deposited(n, `${name}-${n}`)));
      }
    }
    return {};
  },

  begin_streams: async (store, place, { streams }) => async () => {
    const loops = range(1, 8, 1).map(async (loop) => {
      for (const n of range(loop, streams, 8)) await append(store, `account-${n}`, [deposited()]);
    });
    await Promise.all(loops);
    return { stored: streams };
  },

  fill_singly: async (store, place, { count, each }) => async () => {
    const firsts = range(1, count, each).filter((_, n) => n % place.clients === place.number);
    for (const first of firsts) {
      for (const n of range(first, Math.min(first + each - 1, count), 1)) {
        await append(store, `account-single${1 + Math.floor(first / each)}`, [deposited(n)]);
      }
    }
    return {};
  },

  read: async (store, place, { streams }) => {
    await store.readStream(streams[0]);
    return async () => {
      let count = 0;
      const start = now();
      for (const stream of streams) {
        count += (await store.readStream(stream)).events.length;
      }
      return { count, seconds: (now() - start) / 1000 };
    };
  },

  create_consumer: async (store, place, { name, at_end = false }) => async () => {
    if (at_end) {
      const pool = place.pool();
      const found = await pool.query(
        `SELECT coalesce(max(global_position), 0) AS last, pg_current_xact_id()::text AS xid
         FROM emt_messages`,
      );
      await pool.query(
        `INSERT INTO emt_processors (last_processed_transaction_id, version, processor_id,
           partition, status, last_processed_checkpoint)
         VALUES ($1::xid8, 1, $2, 'emt:default', 'stopped', $3)`,
        [found.rows[0].xid, name, String(found.rows[0].last).padStart(19, '0')],
      );
      await pool.end();
    }
    return {};
  },

  catch_up: async (store, place, { name, expected, batch = null }) => {
    let count = 0;
    let amount = 0;
    return async () => {
      const start = now();
      let finished = 0;
      await consume(store, place, name, batch ?? undefined, (event) => {
        count += 1;
        amount += event.data.amount;
        if (count >= expected) {
          finished = now();
          place.stop();
        }
      });
      return { count, amount, seconds: (finished - start) / 1000 };
    };
  },

  consume: async (store, place, { name }) => async () => {
    let count = 0;
    const delays = [];
    await consume(store, place, `${name}-${place.number}`, BATCH, (event) => {
      count += 1;
      place.count();
      if (event.data.currency === PROBE) {
        delays.push(now() / 1000 - Number(event.data.reference));
      }
    });
    return { count, delays };
  },

  probe: async (store, place, { count, pause, category = 'account' }) => {
    for (let n = 0; n < WARM_UP; n++) await append(store, `${category}-probe`, [deposited()]);
    return async () => {
      for (let n = 0; n < count; n++) {
        await sleep(pause * 1000 * (0.5 + Math.random()));
        const event = deposited(n);
        event.data.currency = PROBE;
        event.data.reference = String(now() / 1000);
        await append(store, `${category}-probe`, [event]);
      }
      return { stored: count + WARM_UP };
    };
  },

  write_several: async (store, place, { seconds, streams, per_second, most = 4 }) => async () => {
    const references = [];
    const start = now();
    let turn = 0;
    while (now() < start + seconds * 1000) {
      const ahead = start + (turn / per_second) * 1000 - now();
      if (ahead > 0) await sleep(ahead * 2 * Math.random());
      turn += 1;
      const events = range(0, dice(1, most) - 1, 1).map((n) =>
        deposited(n, `${place.number}/${turn}/${n}`),
      );
      await append(store, `account-order${dice(0, streams - 1)}`, events);
      references.push(...events.map((event) => event.data.reference));
    }
    return { references, transactions: turn };
  },

  follow: async (store, place, { name }) => async () => {
    const references = [];
    await consume(store, place, name ?? 'follow', BATCH, (event) => {
      references.push(event.data.reference);
      place.count();
    });
    return { references };
  },
};

async function consume(store, place, name, batchSize, handle) {
  const consumer = store.consumer(batchSize ? { pulling: { batchSize } } : {});
  consumer.reactor({ processorId: name, startFrom: 'CURRENT', eachMessage: handle });
  place.whenStopped(() => consumer.stop().catch(() => {}));
  await consumer.start();
}

// A process that runs some of a task's clients.
async function work() {
  const { getPostgreSQLEventStore } = await import(
    path.join(
      path.dirname(packages),
      'node_modules/@event-driven-io/emmett-postgresql/dist/index.js',
    )
  );
  const [, , , conninfo] = process.argv;
  const stoppers = [];
  let stopped = false;
  let counted = 0;
  let go;
  const started = new Promise((resolve) => (go = resolve));
  const stop = () => {
    stopped = true;
    stoppers.forEach((stopper) => stopper());
  };
  process.on('message', async (message) => {
    if (message.go) go();
    if (message.stop) stop();
    if (message.status) process.send({ count: counted });
    if (message.task) {
      try {
        const store = getPostgreSQLEventStore(address(conninfo), {
          schema: { autoMigration: message.task === 'install' ? 'CreateOrUpdate' : 'None' },
        });
        const prepared = await Promise.all(
          message.numbers.map((number) =>
            tasks[message.task](
              store,
              {
                number,
                clients: message.clients,
                stop,
                count: () => (counted += 1),
                whenStopped: (stopper) => stoppers.push(stopper),
                pool: () => new (require('pg').Pool)({ connectionString: address(conninfo) }),
                get stopped() {
                  return stopped;
                },
              },
              message.options,
            ),
          ),
        );
        process.send({ ready: true });
        await started;
        const results = await Promise.all(prepared.map((run) => run()));
        process.send({ results }, () => process.exit(0));
      } catch (error) {
        process.send({ error: `${error.constructor.name}: ${error.message}` }, () => process.exit(1));
      }
    }
  });
}

async function main() {
  const conninfo = process.argv[2];
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  for (let line = await next(); line !== undefined; line = await next()) {
    const order = JSON.parse(line);
    if (!(order.task in tasks)) {
      say({ error: `there is no task ${order.task}` });
      continue;
    }
    const count = Math.min(order.clients, MOST_PROCESSES);
    const children = range(0, count - 1, 1).map(() =>
      fork(fileURLToPath(import.meta.url), ['work', conninfo], { stdio: ['ignore', 2, 2, 'ipc'] }),
    );
    const answers = () =>
      Promise.all(
        children.map(
          (child) =>
            new Promise((resolve) => {
              const listen = (message) => {
                if ('count' in message) return;
                child.off('message', listen);
                resolve(message);
              };
              child.on('message', listen);
              child.once('exit', () => resolve({ error: "the client's process died" }));
            }),
        ),
      );
    const counts = () =>
      Promise.all(
        children.map(
          (child) =>
            new Promise((resolve) => {
              const listen = (message) => {
                if (!('count' in message)) return;
                child.off('message', listen);
                resolve(message.count);
              };
              child.on('message', listen);
              child.send({ status: true });
            }),
        ),
      );
    const ready = answers();
    children.forEach((child, n) => {
      const numbers = range(n, order.clients - 1, count);
      child.send({ ...order, numbers });
    });
    const failed = (await ready).find((each) => each.error);
    if (failed) {
      children.forEach((child) => child.kill());
      say(failed);
      continue;
    }
    say({ ready: true });
    if ((await next()) === undefined) process.exit(0);
    const found = answers();
    children.forEach((child) => child.send({ go: true }));
    if (order.endless) {
      while ((await next()) === 'status') {
        say({ status: (await counts()).reduce((sum, count) => sum + count, 0) });
      }
      children.forEach((child) => child.send({ stop: true }));
    }
    const results = await found;
    const broken = results.find((each) => each.error);
    say({ results: broken ? [broken] : results.flatMap((each) => each.results) });
  }
  process.exit(0);
}

await (process.argv[2] === 'work' ? work() : main());
