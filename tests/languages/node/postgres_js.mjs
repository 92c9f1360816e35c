// Node with postgres.js (npm: postgres). PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
import postgres from 'postgres';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

// Without this, versions and positions are strings, and '9' > '10'. Numbers are exact up to 2^53.
const int8 = { to: 20, from: [20], parse: Number, serialize: String };
const sql = postgres({ types: { int8 } });
const tell = (operation, answer) => console.log(JSON.stringify({ operation, ...answer }));

// Write. An object is sent as JSON.
const [written] = await sql`SELECT * FROM bank.write_message('account-1', 'Opened', ${{ owner: 'Ann' }})`;
tell('write', written);

// Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
const deposit = () => sql`
  SELECT * FROM bank.write_message('account-1', 'Deposited', ${{ amount: 10 }}, expected_version => ${1})`;
const [{ version }] = await deposit();
const conflict = await deposit().catch((error) => error);
tell('expected version', { version, sqlstate: conflict.code, detail: JSON.parse(conflict.detail) });

// Write again, because no answer came: the same id is stored once, and answers the same.
const id = randomUUID();
const withdraw = () => sql`
  SELECT * FROM bank.write_message('account-1', 'Withdrawn', ${{ amount: 5 }}, message_id => ${id})`;
const [first] = await withdraw();
const [again] = await withdraw();
tell('retry', { first, again });

// A batch. sql.json sends any value as JSON, a string too. What is JSON already would become a JSON string.
const messages = [
  { type: 'Deposited', data: { amount: 20 } },
  { type: 'Noted', data: { text: 'It\'s "5 €"' } },
];
const [batch] = await sql`SELECT * FROM bank.write_messages('account-1', ${sql.json(messages)})`;
tell('batch', batch);

// Decide on messages with a tag, and write only if no other one has come.
const query = sql.json([{ tags: ['seat-7'] }]);
const [{ taken }] = await sql`SELECT bank.read_tagged_json(${query}) AS taken`;
const booking = sql.json([{ type: 'Booked', data: { seat: 7 }, tags: ['seat-7'] }]);
const book = (stream) => sql`SELECT * FROM bank.write_if(${stream}, ${booking}, ${query}, ${taken.decided_upon})`;
const [booked] = await book('booking-1');
const late = await book('booking-2').catch((error) => error);
tell('condition', { ...booked, sqlstate: late.code });

// Read a stream.
tell('read stream', { messages: await sql`SELECT version, type, data FROM bank.read_stream('account-1')` });

// Follow everything, page by page. Store reached_position to continue there.
let page = { reached_position: 0, more: true };
async function read(max) {
  [{ page }] = await sql`SELECT bank.read_page_json(${page.reached_position}, ${max}) AS page`;
  return page.messages;
}
const positions = [];
while (page.more) positions.push(...(await read(2)).map((message) => message.global_position));
tell('follow', { positions });

// Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
async function consume(handled) {
  const [{ claim }] = await sql`SELECT bank.claim_batch_json(${['mails']}, 'worker-1') AS claim`;
  if (claim.state === 'idle') return false; // wait for the bell, at most two seconds
  if (claim.state === 'busy') return pause(5, true);
  const { subscription, partition, token, checkpoint } = claim;
  let message;
  try {
    await sql.begin(async (tx) => {
      for (message of claim.messages)
        await tx`INSERT INTO mails VALUES (${message.message_id}, ${message.global_position})`;
      await tx`SELECT bank.acknowledge(${subscription}, ${partition}, ${token}, ${checkpoint}, release => true)`;
    });
    handled.push(...claim.messages.map((each) => each.global_position));
  } catch (error) {
    if (error.code === 'MS020') return true; // the lease was lost: another worker has the messages
    if (!message) throw error; // no message failed, but the acknowledgement
    const { global_position } = message;
    await sql`SELECT bank.fail_message(${subscription}, ${partition}, ${token}, ${global_position}, ${String(error)})`;
  }
  return true;
}
await sql`SELECT bank.create_subscription('mails', categories => ${['account']}, retry_delay => '0')`;
const handled = [];
while (await consume(handled));
const lost = await sql`SELECT bank.acknowledge('mails', 0, 1, 1)`.catch((error) => error);
tell('consume', { handled, lost: lost.code });

// Wait for a message. sql.listen has a connection of its own, on which nothing else can run: so a reserved one
// holds the bell. After a lost connection sql.listen calls the third argument again: look for messages then.
const [{ channel }] = await sql`SELECT bank.wake_channel() AS channel`;
let ring;
const bell = new Promise((resolve) => (ring = () => resolve(true)));
await sql.listen(channel, () => ring());
const reserved = await sql.reserve();
const [{ pid }] = await reserved`SELECT pg_backend_pid() AS pid`;
const [look] = await reserved`SELECT * FROM bank.fall_asleep(${pid})`;
const wait = look.safe_position <= page.looked_position && !look.in_flight;
await sql`SELECT bank.write_message('account-2', 'Opened', ${{ owner: 'Bo' }})`; // by somebody else
const notified = wait && (await Promise.race([bell, pause(10000, false, { ref: false })]));
await reserved`SELECT bank.wake_up(${pid})`;
reserved.release();
tell('listen', { notified, messages: await read(10) });
await sql.end();
