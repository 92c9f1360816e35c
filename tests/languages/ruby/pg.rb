# Ruby with pg. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
require 'json'
require 'pg'
require 'securerandom'

def connect
  conn = PG.connect(client_encoding: 'UTF8')
  # Results as numbers, booleans and parsed JSON. Hashes are sent as JSON by to_json, see below.
  conn.type_map_for_results = PG::BasicTypeMapForResults.new(conn)
  conn
end

def tell(operation, answer)
  puts JSON.generate({ operation: operation, **answer })
end

ARRAY = PG::TextEncoder::Array.new
conn = connect
one = ->(text, *values) { conn.exec_params(text, values).first }
refused = lambda do |text, *values|
  one.call(text, *values)
  raise 'no error'
rescue PG::ServerError => e
  e.result
end
code = ->(result) { result.error_field(PG::PG_DIAG_SQLSTATE) }

# Write.
write = 'SELECT * FROM bank.write_message($1, $2, $3)'
tell('write', one.call(write, 'account-1', 'Opened', { owner: 'Ann' }.to_json))

# Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
expecting = 'SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)'
deposit = ['account-1', 'Deposited', { amount: 10 }.to_json, 1]
version = one.call(expecting, *deposit)['version']
conflict = refused.call(expecting, *deposit)
detail = JSON.parse(conflict.error_field(PG::PG_DIAG_MESSAGE_DETAIL))
tell('expected version', { version: version, sqlstate: code.call(conflict), detail: detail })

# Write again, because no answer came: the same id is stored once, and answers the same.
again = 'SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)'
withdrawal = ['account-1', 'Withdrawn', { amount: 5 }.to_json, SecureRandom.uuid]
tell('retry', { first: one.call(again, *withdrawal), again: one.call(again, *withdrawal) })

# A batch.
messages = [
  { type: 'Deposited', data: { amount: 20 } },
  { type: 'Noted', data: { text: 'It\'s "5 €"' } }
]
tell('batch', one.call('SELECT * FROM bank.write_messages($1, $2)', 'account-1', messages.to_json))

# Decide on messages with a tag, and write only if no other one has come.
query = [{ tags: ['seat-7'] }].to_json
token = one.call('SELECT bank.read_tagged_json($1) AS taken', query)['taken']['decided_upon']
unless_any = 'SELECT * FROM bank.write_if($1, $2, $3, $4)'
booking = [{ type: 'Booked', data: { seat: 7 }, tags: ['seat-7'] }].to_json
booked = one.call(unless_any, 'booking-1', booking, query, token)
late = refused.call(unless_any, 'booking-2', booking, query, token)
tell('condition', { **booked, sqlstate: code.call(late) })

# Read a stream.
rows = conn.exec_params('SELECT version, type, data FROM bank.read_stream($1)', ['account-1'])
tell('read stream', { messages: rows.to_a })

# Follow everything, page by page. Store reached_position to continue there.
page = { 'reached_position' => 0, 'more' => true }
positions = []
read = lambda do |max|
  page = one.call('SELECT bank.read_page_json($1, $2) AS page', page['reached_position'], max)['page']
  page['messages']
end
positions += read.call(2).map { |message| message['global_position'] } while page['more']
tell('follow', { positions: positions })

# Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
consume = lambda do |handled|
  claim = one.call('SELECT bank.claim_batch_json($1, $2) AS claim', ARRAY.encode(['mails']), 'worker-1')['claim']
  return false if claim['state'] == 'idle' # wait for the bell, at most two seconds
  return sleep(0.005) if claim['state'] == 'busy'

  lease = claim.values_at('subscription', 'partition', 'token')
  failed = nil
  begin
    conn.transaction do
      claim['messages'].each do |message|
        failed = message
        conn.exec_params('INSERT INTO mails VALUES ($1, $2)', message.values_at('message_id', 'global_position'))
      end
      acknowledge = 'SELECT bank.acknowledge($1, $2, $3, $4, release => true)'
      conn.exec_params(acknowledge, [*lease, claim['checkpoint']])
    end
    handled.concat(claim['messages'].map { |message| message['global_position'] })
  rescue PG::ServerError => e
    return true if code.call(e.result) == 'MS020' # the lease was lost: another worker has the messages

    raise unless failed # no message failed, but the acknowledgement

    one.call('SELECT bank.fail_message($1, $2, $3, $4, $5)', *lease, failed['global_position'], e.message)
  end
  true
end
subscribe = "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')"
one.call(subscribe, 'mails', ARRAY.encode(['account']))
handled = []
nil while consume.call(handled)
lost = refused.call('SELECT bank.acknowledge($1, 0, 1, 1)', 'mails')
tell('consume', { handled: handled, lost: code.call(lost) })

# Wait for a message. The session that listens holds the bell: only then do writers notify.
sleeper = connect
pid = sleeper.backend_pid
channel = sleeper.exec('SELECT bank.wake_channel()').getvalue(0, 0)
sleeper.exec("LISTEN #{sleeper.quote_ident(channel)}")
look = sleeper.exec_params('SELECT * FROM bank.fall_asleep($1)', [pid]).first
wait = look['safe_position'] <= page['looked_position'] && !look['in_flight']
one.call(write, 'account-2', 'Opened', { owner: 'Bo' }.to_json) # by somebody else, while this one waits
notified = wait && sleeper.wait_for_notify(10)
sleeper.exec_params('SELECT bank.wake_up($1)', [pid])
tell('listen', { notified: notified == channel, messages: read.call(10) })
