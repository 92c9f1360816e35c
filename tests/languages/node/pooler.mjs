// Prepared statements behind a pooler that gives a server session to each transaction.
import pg from 'pg';
import postgres from 'postgres';

const [one, other] = [new pg.Client(), new pg.Client()];
await Promise.all([one.connect(), other.connect()]);
const [preparing, unprepared] = [postgres({ max: 1 }), postgres({ max: 1, prepare: false })];
const outcome = (promise) => promise.then(() => 'works', (error) => error.code);
const text = 'SELECT * FROM bank.write_message($1, $2, $3)';
const values = ['a-1', 'A', '{}'];

const ways = {
  'pg, named': () => one.query({ name: 'write', text, values }),
  'pg, without a name': () => one.query(text, values),
  'postgres.js': () => preparing.unsafe(text, values, { prepare: true }),
  'postgres.js, prepare: false': () => unprepared`SELECT * FROM bank.write_message('a-1', 'A', ${{}})`,
};
for (const [way, write] of Object.entries(ways)) {
  const first = await outcome(write());
  await other.query('BEGIN'); // takes the session in which the statement was prepared
  const again = await outcome(write());
  await other.query('ROLLBACK');
  console.log(JSON.stringify({ trap: way, answer: `${first}, then ${again}` }));
}
await Promise.all([one.end(), other.end(), preparing.end(), unprepared.end()]);
