// A named statement behind a pooler that gives a server session to each transaction.
import pg from 'pg';

const [one, other] = [new pg.Client(), new pg.Client()];
await Promise.all([one.connect(), other.connect()]);
const outcome = (promise) => promise.then(() => 'works', (error) => error.code);
const tell = (trap, answer) => console.log(JSON.stringify({ trap, answer }));
const text = 'SELECT * FROM bank.write_message($1, $2, $3)';
const values = ['a-1', 'A', '{}'];

tell('named', await outcome(one.query({ name: 'write', text, values })));
await other.query('BEGIN'); // has the session in which the statement was prepared
await other.query('SELECT 1');
tell('named, in another session', await outcome(one.query({ name: 'write', text, values })));
tell('without a name', await outcome(one.query(text, values)));
await other.query('ROLLBACK');
await Promise.all([one.end(), other.end()]);
