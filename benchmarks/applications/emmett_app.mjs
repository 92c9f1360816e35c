// The orders on Emmett, by its command handler, a projection and a reactor.

import { CommandHandler, IllegalStateError } from '@event-driven-io/emmett';
import {
  getPostgreSQLEventStore,
  postgreSQLRawSQLProjection,
} from '@event-driven-io/emmett-postgresql';
import { dumbo, SQL } from '@event-driven-io/dumbo';
import { createInterface } from 'node:readline';

// -- set up

const connectionString = process.env.DATABASE_URL;
const store = getPostgreSQLEventStore(connectionString);
await store.schema.migrate();

// -- old events

const upcast = (event) =>
  event.type === 'OrderPlaced' && 'euros' in event.data
    ? { ...event, data: { customer: event.data.customer, cents: event.data.euros * 100 } }
    : event;
const schema = { versioning: { upcast } };

// -- order

const initialState = () => ({ status: 'unknown', cents: 0, received: 0 });

const evolve = (order, { type, data }) => {
  switch (type) {
    case 'OrderPlaced':
      return { status: 'placed', cents: data.cents, received: 0 };
    case 'PaymentReceived':
      return { ...order, received: order.received + data.cents };
    case 'OrderPaid':
      return { ...order, status: 'paid' };
    case 'OrderCancelled':
      return { ...order, status: 'cancelled' };
    default:
      return order;
  }
};

const placed = (order, customer, cents) => {
  if (order.status !== 'unknown') throw new IllegalStateError('refused');
  return [{ type: 'OrderPlaced', data: { customer, cents } }];
};

const paid = (order, cents) => {
  if (order.status !== 'placed' || order.received + cents > order.cents)
    throw new IllegalStateError('refused');
  const received = { type: 'PaymentReceived', data: { cents } };
  const complete = order.received + cents === order.cents;
  return complete ? [received, { type: 'OrderPaid', data: {} }] : [received];
};

const cancelled = (order, reason) => {
  if (order.status !== 'placed') throw new IllegalStateError('refused');
  return [{ type: 'OrderCancelled', data: { reason } }];
};

// -- metadata

const traced = (events, metadata) => events.map((event) => ({ ...event, metadata }));

const run = (correlationId, command, ...args) =>
  command({ correlationId, at: new Date().toISOString() }, ...args);

// -- commands

const handler = CommandHandler({
  evolve,
  initialState,
  retry: { onVersionConflict: 10 },
  // -- old events
  schema,
  // -- commands
});

const change = (number, decide, metadata) =>
  handler(store, `order-${number}`, (order) => traced(decide(order), metadata));

const place = (metadata, number, customer, cents) =>
  change(number, (order) => placed(order, customer, cents), metadata);

const pay = (metadata, number, cents) => change(number, (order) => paid(order, cents), metadata);

const cancel = (metadata, number, reason) =>
  change(number, (order) => cancelled(order, reason), metadata);

// -- projection

const numberOf = (event) => event.metadata.streamName.replace('order-', '');

const overview = postgreSQLRawSQLProjection({
  name: 'overview',
  canHandle: ['OrderPlaced', 'PaymentReceived', 'OrderPaid', 'OrderCancelled'],
  // -- old events
  eventsOptions: { schema },
  // -- projection
  init: () => [
    SQL`CREATE TABLE IF NOT EXISTS orders (number text PRIMARY KEY, customer text NOT NULL,
      received bigint NOT NULL, status text NOT NULL)`,
    // -- deadline
    SQL`CREATE TABLE IF NOT EXISTS deadlines (number text PRIMARY KEY, due timestamptz)`,
    // -- projection
  ],
  evolve: (event) => {
    const number = numberOf(event);
    switch (event.type) {
      case 'OrderPlaced':
        return [
          SQL`INSERT INTO orders VALUES (${number}, ${event.data.customer}, 0, 'placed')`,
          // -- deadline
          SQL`INSERT INTO deadlines
            VALUES (${number}, ${event.metadata.at}::timestamptz + interval '1 day')`,
          // -- projection
        ];
      case 'PaymentReceived':
        return SQL`UPDATE orders SET received = received + ${event.data.cents}
          WHERE number = ${number}`;
      case 'OrderPaid':
        return SQL`UPDATE orders SET status = 'paid' WHERE number = ${number}`;
      case 'OrderCancelled':
        return SQL`UPDATE orders SET status = 'cancelled' WHERE number = ${number}`;
    }
  },
});

// -- process manager

const requestParcel = CommandHandler({
  evolve: () => ({ requested: true }),
  initialState: () => ({ requested: false }),
});

const fulfilment = async (event) => {
  const order = numberOf(event);
  const parcel = { type: 'ParcelRequested', data: { order } };
  // -- metadata
  const { correlationId, messageId: causationId } = event.metadata;
  // -- process manager
  await requestParcel(store, `parcel-${order}`, ({ requested }) =>
    requested ? [] : traced([parcel], { correlationId, causationId }),
  );
};

// -- deadline

const pool = dumbo({ connectionString });

const cancelOverdue = (now) =>
  pool.withTransaction(async ({ execute }) => {
    const { rows } = await execute.query(
      SQL`SELECT number FROM deadlines WHERE due <= ${now} FOR UPDATE SKIP LOCKED`,
    );
    for (const { number } of rows) {
      try {
        await run('', cancel, number, 'not paid');
      } catch (error) {
        if (!(error instanceof IllegalStateError)) throw error;
      }
      await execute.command(SQL`DELETE FROM deadlines WHERE number = ${number}`);
    }
  });

// -- workers

const handle = async () => {
  const stopWhen = { noMessagesLeft: true };
  const projecting = store.consumer({ stopWhen });
  projecting.projector({ projection: overview });
  const reacting = store.consumer({ stopWhen });
  reacting.reactor({
    processorId: 'fulfilment',
    canHandle: ['OrderPaid'],
    eachMessage: fulfilment,
  });
  await Promise.all([projecting.start(), reacting.start()]);
};

// -- check

const commands = { place, pay, cancel };
const answers = {
  run: (id, command, ...args) => run(id, commands[command], ...args),
  at_once: (count, id, command, ...args) =>
    Promise.all(Array.from({ length: count }, () => run(id, commands[command], ...args))),
  old_order: (number, customer, euros) => {
    const metadata = { at: new Date().toISOString() };
    const event = { type: 'OrderPlaced', data: { customer, euros }, metadata };
    return store.appendToStream(`order-${number}`, [event]);
  },
  handle,
  two_days_later: () => cancelOverdue(new Date(Date.now() + 2 * 24 * 60 * 60 * 1000)),
  orders: async () => {
    const { rows } = await pool.execute.query(SQL`SELECT * FROM orders ORDER BY number`);
    return rows.map((row) => [row.number, row.customer, Number(row.received), row.status]);
  },
  parcels: async () => {
    const found = [];
    for (const number of ['1', '2', '3', '4', '5']) {
      const { events } = await store.readStream(`parcel-${number}`);
      const { events: causes } = await store.readStream(`order-${number}`);
      for (const { data, metadata } of events) {
        const cause = causes.find((each) => each.metadata.messageId === metadata.causationId);
        found.push([data.order, metadata.correlationId, cause?.type === 'OrderPaid']);
      }
    }
    return found;
  },
  state: async (number) => {
    const read = { schema };
    const options = { evolve, initialState, read };
    const { state } = await store.aggregateStream(`order-${number}`, options);
    return [state.status, state.cents, state.received];
  },
  version: async (number) =>
    Number((await store.readStream(`order-${number}`)).currentStreamVersion),
  state_is_kept: () => 'cannot',
};
const silent = new Set(['run', 'at_once', 'old_order', 'handle', 'two_days_later']);

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line);
  let found;
  try {
    found = await answers[name](...args);
    if (silent.has(name)) found = null;
  } catch (error) {
    if (!(error instanceof IllegalStateError)) console.error(error);
    found = error instanceof IllegalStateError ? 'refused' : 'failed';
  }
  console.log(JSON.stringify(found));
}
await pool.close();
await store.close();
