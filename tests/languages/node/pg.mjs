// Node with node-postgres (npm: pg). PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
import pg from 'pg';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

// Without this, versions and positions are strings, and '9' > '10'. Numbers are exact up to 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
const pool = new pg.Pool();
const one = async (text, values, on = pool) => (await on.query(text, values)).rows[0];
const tell = (operation, answer) => console.log(JSON.stringify({ operation, ...answer }));

// Write. An object is sent as JSON.
const write = 'SELECT * FROM bank.write_message($1, $2, $3)';
tell('write', await one(write, ['account-1', 'Opened', { owner: 'Ann' }]));

// Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
const expecting = 'SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)';
const deposit = ['account-1', 'Deposited', { amount: 10 }, 1];
const { version } = await one(expecting, deposit);
const conflict = await one(expecting, deposit).catch((error) => error);
tell('expected version', { version, sqlstate: conflict.code, detail: JSON.parse(conflict.detail) });

// Write again, because no answer came: the same id is stored once, and answers the same.
const again = 'SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)';
const withdrawal = ['account-1', 'Withdrawn', { amount: 5 }, randomUUID()];
tell('retry', { first: await one(again, withdrawal), again: await one(again, withdrawal) });

// A batch. An array needs JSON.stringify: pg sends a JavaScript array as an array of PostgreSQL.
const messages = [
  { type: 'Deposited', data: { amount: 20 } },
  { type: 'Noted', data: { text: 'It\'s "5 €"' } },
];
tell('batch', await one('SELECT * FROM bank.write_messages($1, $2)', ['account-1', JSON.stringify(messages)]));

// Decide on messages with a tag, and write only if no other one has come.
const query = JSON.stringify([{ tags: ['seat-7'] }]);
const { taken } = await one('SELECT bank.read_tagged_json($1) AS taken', [query]);
const unless = 'SELECT * FROM bank.write_if($1, $2, $3, $4)';
const booking = JSON.stringify([{ type: 'Booked', data: { seat: 7 }, tags: ['seat-7'] }]);
const booked = await one(unless, ['booking-1', booking, query, taken.decided_upon]);
const late = await one(unless, ['booking-2', booking, query, taken.decided_upon]).catch((error) => error);
tell('condition', { ...booked, sqlstate: late.code });

// Read a stream.
const { rows } = await pool.query('SELECT version, type, data FROM bank.read_stream($1)', ['account-1']);
tell('read stream', { messages: rows });

// Follow everything, page by page. Store reached_position to continue there.
let page = { reached_position: 0, more: true };
const read = async (max) =>
  ({ page } = await one('SELECT bank.read_page_json($1, $2) AS page', [page.reached_position, max])).page.messages;
const positions = [];
while (page.more) positions.push(...(await read(2)).map((message) => message.global_position));
tell('follow', { positions });

// Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
async function consume(handled) {
  const { claim } = await one('SELECT bank.claim_batch_json($1, $2) AS claim', [['mails'], 'worker-1']);
  if (claim.state === 'idle') return false; // wait for the bell, at most two seconds
  if (claim.state === 'busy') return pause(5, true);
  const lease = [claim.subscription, claim.partition, claim.token];
  const client = await pool.connect();
  let message;
  try {
    await client.query('BEGIN');
    for (message of claim.messages)
      await client.query('INSERT INTO mails VALUES ($1, $2)', [message.message_id, message.global_position]);
    await client.query('SELECT bank.acknowledge($1, $2, $3, $4, release => true)', [...lease, claim.checkpoint]);
    await client.query('COMMIT');
    handled.push(...claim.messages.map((each) => each.global_position));
  } catch (error) {
    await client.query('ROLLBACK');
    if (error.code === 'MS020') return true; // the lease was lost: another worker has the messages
    if (!message) throw error; // no message failed, but the acknowledgement
    const failure = [...lease, message.global_position, String(error)];
    await client.query('SELECT bank.fail_message($1, $2, $3, $4, $5)', failure);
  } finally {
    client.release();
  }
  return true;
}
const subscribe = "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')";
await pool.query(subscribe, ['mails', ['account']]);
const handled = [];
while (await consume(handled));
const lost = await one('SELECT bank.acknowledge($1, 0, 1, 1)', ['mails']).catch((error) => error);
tell('consume', { handled, lost: lost.code });

// Wait for a message. The session that listens holds the bell: only then do writers notify.
const sleeper = new pg.Client();
await sleeper.connect();
const { channel, pid } = await one('SELECT bank.wake_channel() AS channel, pg_backend_pid() AS pid', [], sleeper);
await sleeper.query(`LISTEN ${sleeper.escapeIdentifier(channel)}`);
const bell = new Promise((resolve) => sleeper.once('notification', () => resolve(true)));
const look = await one('SELECT * FROM bank.fall_asleep($1)', [pid], sleeper);
const wait = look.safe_position <= page.looked_position && !look.in_flight;
await pool.query(write, ['account-2', 'Opened', { owner: 'Bo' }]); // by somebody else, while this one waits
const notified = wait && (await Promise.race([bell, pause(10000, false, { ref: false })]));
await sleeper.query('SELECT bank.wake_up($1)', [pid]);
tell('listen', { notified, messages: await read(10) });
await sleeper.end();
await pool.end();
