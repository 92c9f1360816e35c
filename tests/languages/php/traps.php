<?php

// What goes wrong with PDO, and what helps.
declare(strict_types=1);

[$host, $port, $database] = array_map('getenv', ['PGHOST', 'PGPORT', 'PGDATABASE']);
$pdo = new PDO("pgsql:host=$host;port=$port;dbname=$database", getenv('PGUSER'), getenv('PGPASSWORD'));

function tell(string $trap, callable $call): void
{
    try {
        $call();
        $answer = 'works';
    } catch (PDOException $error) {
        $answer = $error->getCode();
    }
    echo json_encode(['trap' => $trap, 'answer' => $answer]), "\n";
}

// execute() sends every value as a text, and false as an empty one.
$read = $pdo->prepare("SELECT * FROM bank.read_stream('a-1', backward => ?)");
tell('PDO: false in execute()', fn () => $read->execute([false]));
tell("PDO: 'false' in execute()", fn () => $read->execute(['false']));
$read->bindValue(1, false, PDO::PARAM_BOOL);
tell('PDO: PARAM_BOOL', fn () => $read->execute());
