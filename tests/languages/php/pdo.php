<?php

// PHP with PDO. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
declare(strict_types=1);

function connect(): PDO
{
    [$host, $port, $database] = array_map('getenv', ['PGHOST', 'PGPORT', 'PGDATABASE']);
    return new PDO("pgsql:host=$host;port=$port;dbname=$database", getenv('PGUSER'), getenv('PGPASSWORD'));
}

function rows(PDO $pdo, string $sql, array $values = []): array
{
    $statement = $pdo->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_ASSOC);
}

function one(PDO $pdo, string $sql, mixed ...$values): array
{
    return rows($pdo, $sql, $values)[0];
}

function refused(PDO $pdo, string $sql, mixed ...$values): PDOException
{
    try {
        one($pdo, $sql, ...$values);
    } catch (PDOException $error) {
        return $error;
    }
    throw new LogicException('no error');
}

function tell(string $operation, array $answer): void
{
    echo json_encode(['operation' => $operation] + $answer, JSON_THROW_ON_ERROR), "\n";
}

$pdo = connect();

// Write.
$write = 'SELECT * FROM bank.write_message(?, ?, ?)';
tell('write', one($pdo, $write, 'account-1', 'Opened', json_encode(['owner' => 'Ann'])));

// Write only if the stream is at version 1. The second time it is not. PDO has no field for the detail, which is JSON:
// it is a line of the message. The functions pg_… have it, as PGSQL_DIAG_MESSAGE_DETAIL.
$expecting = 'SELECT * FROM bank.write_message(?, ?, ?, expected_version => ?)';
$deposit = ['account-1', 'Deposited', json_encode(['amount' => 10]), 1];
$version = one($pdo, $expecting, ...$deposit)['version'];
$conflict = refused($pdo, $expecting, ...$deposit);
preg_match('/^DETAIL:  (.*)$/m', $conflict->errorInfo[2], $found);
$detail = json_decode($found[1]);
tell('expected version', ['version' => $version, 'sqlstate' => $conflict->getCode(), 'detail' => $detail]);

// Write again, because no answer came: the same id is stored once, and answers the same.
$again = 'SELECT * FROM bank.write_message(?, ?, ?, message_id => ?)';
$id = bin2hex(random_bytes(16));
$withdrawal = ['account-1', 'Withdrawn', json_encode(['amount' => 5]), $id];
tell('retry', ['first' => one($pdo, $again, ...$withdrawal), 'again' => one($pdo, $again, ...$withdrawal)]);

// A batch. json_encode makes [] of an empty array: give (object) [] where an object is meant.
$messages = json_encode([
    ['type' => 'Deposited', 'data' => ['amount' => 20]],
    ['type' => 'Noted', 'data' => ['text' => 'It\'s "5 €"']],
]);
tell('batch', one($pdo, 'SELECT * FROM bank.write_messages(?, ?)', 'account-1', $messages));

// Decide on messages with a tag, and write only if no other one has come.
$query = json_encode([['tags' => ['seat-7']]]);
$taken = json_decode(one($pdo, 'SELECT bank.read_tagged_json(?) AS taken', $query)['taken']);
$unless = 'SELECT * FROM bank.write_if(?, ?, ?, ?)';
$booking = json_encode([['type' => 'Booked', 'data' => ['seat' => 7], 'tags' => ['seat-7']]]);
$booked = one($pdo, $unless, 'booking-1', $booking, $query, $taken->decided_upon);
$late = refused($pdo, $unless, 'booking-2', $booking, $query, $taken->decided_upon);
tell('condition', $booked + ['sqlstate' => $late->getCode()]);

// Read a stream. JSON comes as text.
$messages = rows($pdo, 'SELECT version, type, data FROM bank.read_stream(?)', ['account-1']);
$parsed = fn (array $message) => ['data' => json_decode($message['data'])] + $message;
tell('read stream', ['messages' => array_map($parsed, $messages)]);

// Follow everything, page by page. Store reached_position to continue there.
function read(PDO $pdo, int $after, int $max): object
{
    return json_decode(one($pdo, 'SELECT bank.read_page_json(?, ?) AS page', $after, $max)['page']);
}
$positions = [];
$page = (object) ['reached_position' => 0, 'more' => true];
while ($page->more) {
    $page = read($pdo, $page->reached_position, 2);
    array_push($positions, ...array_column($page->messages, 'global_position'));
}
tell('follow', ['positions' => $positions]);

// Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
function consume(PDO $pdo, array &$handled): bool
{
    $claim = json_decode(one($pdo, 'SELECT bank.claim_batch_json(ARRAY[?], ?) AS claim', 'mails', 'worker-1')['claim']);
    if ($claim->state === 'idle') {
        return false; // wait for the bell, at most two seconds
    }
    if ($claim->state === 'busy') {
        usleep(5000);
        return true;
    }
    $lease = [$claim->subscription, $claim->partition, $claim->token];
    $pdo->beginTransaction();
    try {
        foreach ($claim->messages as $message) {
            rows($pdo, 'INSERT INTO mails VALUES (?, ?)', [$message->message_id, $message->global_position]);
        }
        one($pdo, 'SELECT bank.acknowledge(?, ?, ?, ?, release => true)', ...$lease, ...[$claim->checkpoint]);
        $pdo->commit();
        array_push($handled, ...array_column($claim->messages, 'global_position'));
    } catch (PDOException $error) {
        $pdo->rollBack();
        if (!isset($message) && $error->getCode() !== 'MS020') {
            throw $error; // no message failed, but the acknowledgement
        }
        if ($error->getCode() !== 'MS020') { // with that code another worker has the messages
            $failure = [$message->global_position, $error->getMessage()];
            one($pdo, 'SELECT bank.fail_message(?, ?, ?, ?, ?)', ...$lease, ...$failure);
        }
    }
    return true;
}
one($pdo, "SELECT bank.create_subscription(?, categories => ARRAY[?], retry_delay => '0')", 'mails', 'account');
$handled = [];
while (consume($pdo, $handled));
$lost = refused($pdo, 'SELECT bank.acknowledge(?, 0, 1, 1)', 'mails');
tell('consume', ['handled' => $handled, 'lost' => $lost->getCode()]);

// Wait for a message. The session that listens holds the bell: only then do writers notify.
$sleeper = connect();
$pid = $sleeper->pgsqlGetPid();
$channel = one($sleeper, 'SELECT bank.wake_channel() AS channel')['channel'];
$sleeper->exec("LISTEN \"$channel\"");
$look = one($sleeper, 'SELECT * FROM bank.fall_asleep(?)', $pid);
$wait = $look['safe_position'] <= $page->looked_position && !$look['in_flight'];
one($pdo, $write, 'account-2', 'Opened', json_encode(['owner' => 'Bo'])); // by somebody else, while this one waits
$notified = $wait && $sleeper->pgsqlGetNotify(PDO::FETCH_ASSOC, 10000) !== false;
one($sleeper, 'SELECT bank.wake_up(?)', $pid);
$page = read($pdo, $page->reached_position, 10);
tell('listen', ['notified' => $notified, 'messages' => $page->messages]);
