// C# with Npgsql 8 or newer. Not compiled and not run by the tests: written from Npgsql's documentation.
using System.Text.Json;
using Npgsql;
using NpgsqlTypes;

// Without Include Error Detail the DETAIL of an error is redacted.
var target = "Host=localhost;Database=demo;Username=ada;Include Error Detail=true";
await using var source = NpgsqlDataSource.Create(target);

// Parameters are $1, $2, …, without names. A string is sent as text, so JSON needs its type.
static NpgsqlParameter AsJson(object value) =>
    new() { Value = JsonSerializer.Serialize(value), NpgsqlDbType = NpgsqlDbType.Jsonb };
static NpgsqlCommand With(NpgsqlCommand command, params object[] values)
{
    foreach (var value in values)
        command.Parameters.Add(value as NpgsqlParameter ?? new NpgsqlParameter { Value = value });
    return command;
}
async Task<(long Version, long GlobalPosition)> Place(string text, params object[] values)
{
    await using var command = With(source.CreateCommand(text), values);
    await using var reader = await command.ExecuteReaderAsync();
    await reader.ReadAsync();
    return (reader.GetInt64(0), reader.GetInt64(1));
}
// A function that returns json: its type is string.
async Task<JsonElement> One(string text, params object[] values)
{
    await using var command = With(source.CreateCommand(text), values);
    return JsonDocument.Parse((string)(await command.ExecuteScalarAsync())!).RootElement;
}

// A function that returns nothing is of type void: run it for its effect, and read no result.
async Task Run(NpgsqlConnection connection, string text, params object[] values)
{
    await using var command = With(new NpgsqlCommand(text, connection), values);
    await command.ExecuteNonQueryAsync();
}

// Write, and once more with the same id, because no answer came: the message is stored once.
var again = "SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)";
var id = Guid.NewGuid();
var (version, _) = await Place(again, "account-1", "Opened", AsJson(new { owner = "Ann" }), id);
await Place(again, "account-1", "Opened", AsJson(new { owner = "Ann" }), id);

// Write only if the stream is at this version. Otherwise the error has a code, and JSON as detail.
var expecting = "SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)";
try
{
    await Place(expecting, "account-1", "Deposited", AsJson(new { amount = 10 }), version);
    await Place(expecting, "account-1", "Deposited", AsJson(new { amount = 10 }), version);
}
catch (PostgresException error) when (error.SqlState == "MS001")
{
    var detail = JsonDocument.Parse(error.Detail!).RootElement;
    var actual = detail.GetProperty("actual_version").GetInt64();
    Console.WriteLine($"the stream is at version {actual}");
}

// A batch, as one JSON array.
var messages = new[] { new { type = "Deposited", data = new { amount = 20 } } };
await Place("SELECT * FROM bank.write_messages($1, $2)", "account-1", AsJson(messages));

// Read a stream.
var read = "SELECT version, type, data FROM bank.read_stream($1)";
await using (var command = With(source.CreateCommand(read), "account-1"))
await using (var reader = await command.ExecuteReaderAsync())
    while (await reader.ReadAsync())
        Console.WriteLine($"{reader.GetInt64(0)} {reader.GetString(1)} {reader.GetString(2)}");

// Follow everything, page by page. Store reached_position to continue there.
long reached = 0, looked = 0;
for (var more = true; more;)
{
    var page = await One("SELECT bank.read_page_json($1, $2)", reached, 100L);
    reached = page.GetProperty("reached_position").GetInt64();
    looked = page.GetProperty("looked_position").GetInt64();
    more = page.GetProperty("more").GetBoolean();
}

// Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
async Task<bool> Consume()
{
    var claim = await One("SELECT bank.claim_batch_json($1, $2)", new[] { "mails" }, "worker-1");
    var state = claim.GetProperty("state").GetString();
    if (state == "idle") return false; // wait for the bell, at most two seconds
    if (state == "busy") { await Task.Delay(5); return true; }
    object[] lease =
    [
        claim.GetProperty("subscription").GetString()!,
        claim.GetProperty("partition").GetInt64(),
        claim.GetProperty("token").GetInt64(),
    ];
    object? failed = null;
    await using var connection = await source.OpenConnectionAsync();
    await using var transaction = await connection.BeginTransactionAsync();
    try
    {
        foreach (var message in claim.GetProperty("messages").EnumerateArray())
        {
            failed = message.GetProperty("global_position").GetInt64();
            var mail = message.GetProperty("message_id").GetGuid();
            await Run(connection, "INSERT INTO mails VALUES ($1, $2)", mail, failed);
        }
        var acknowledge = "SELECT bank.acknowledge($1, $2, $3, $4, release => true)";
        await Run(connection, acknowledge, [.. lease, claim.GetProperty("checkpoint").GetInt64()]);
        await transaction.CommitAsync();
    }
    catch (PostgresException error)
    {
        await transaction.RollbackAsync();
        if (error.SqlState == "MS020") return true; // the lease was lost: another worker has the messages
        if (failed is null) throw; // no message failed, but the acknowledgement
        var fail = "SELECT bank.fail_message($1, $2, $3, $4, $5)";
        await Run(connection, fail, [.. lease, failed, error.MessageText]);
    }
    return true;
}
while (await Consume()) { }

// Wait for a message. The session that listens holds the bell: only then do writers notify.
await using var sleeper = await source.OpenConnectionAsync();
string channel;
await using (var command = new NpgsqlCommand("SELECT bank.wake_channel()", sleeper))
    channel = (string)(await command.ExecuteScalarAsync())!;
await Run(sleeper, $"LISTEN \"{channel}\"");
bool wait;
var look = "SELECT * FROM bank.fall_asleep($1)";
await using (var command = With(new NpgsqlCommand(look, sleeper), sleeper.ProcessID))
await using (var reader = await command.ExecuteReaderAsync())
{
    await reader.ReadAsync();
    wait = reader.GetInt64(0) <= looked && !reader.GetBoolean(1);
}
if (wait) await sleeper.WaitAsync(10_000);
await Run(sleeper, "SELECT bank.wake_up($1)", sleeper.ProcessID);
