// What goes wrong in Node, and what helps.
import pg from 'pg';
import postgres from 'postgres';

const pool = new pg.Pool();
const sql = postgres();
const tell = (trap, answer) => console.log(JSON.stringify({ trap, answer }));
const outcome = (promise) => promise.then(() => 'works', (error) => error.code ?? error.name);
const batch = [{ type: 'A', data: [1] }];

// pg sends a JavaScript array as an array of PostgreSQL, and a string as it is.
const write = 'SELECT * FROM bank.write_messages($1, $2)';
tell('pg: an array as jsonb', await outcome(pool.query(write, ['a-1', batch])));
tell('pg: JSON.stringify of an array', await outcome(pool.query(write, ['a-1', JSON.stringify(batch)])));
const one = 'SELECT * FROM bank.write_message($1, $2, $3)';
tell('pg: a string as jsonb', await outcome(pool.query(one, ['a-1', 'A', 'text'])));
tell('pg: JSON.stringify of a string', await outcome(pool.query(one, ['a-1', 'A', JSON.stringify('text')])));

// postgres.js encodes a parameter of type jsonb itself: what is JSON already is stored as a JSON string.
const stored = async (value) => {
  await sql`SELECT * FROM bank.write_message('b-1', 'A', ${value})`;
  const [{ kind }] = await sql`SELECT jsonb_typeof(data) AS kind FROM bank.last_message('b-1')`;
  return kind;
};
tell('postgres.js: JSON.stringify of an object', await stored(JSON.stringify({ n: 1 })));
tell('postgres.js: an object', await stored({ n: 1 }));
tell('postgres.js: an array', await stored([1, 2]));
tell('postgres.js: sql.json of an array', await stored(sql.json([1, 2])));

// Both answer int8 as a string: '9' > '10'.
const version = async () => (await pool.query("SELECT bank.stream_version('a-1') AS version")).rows[0].version;
tell('pg: int8', typeof (await version()));
tell('postgres.js: int8', typeof (await sql`SELECT bank.stream_version('a-1') AS version`)[0].version);

await pool.end();
await sql.end();
