//! Rust with tokio-postgres. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
use std::{env, future::poll_fn, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time};
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};
use uuid::Uuid;

#[derive(Deserialize, Serialize)]
struct Message {
    message_id: Uuid,
    global_position: i64,
    stream: String,
    version: i64,
    r#type: String,
    data: Value,
}

#[derive(Deserialize)]
struct Page {
    reached_position: i64,
    looked_position: i64,
    more: bool,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Claim {
    Idle,
    Busy,
    Claimed { subscription: String, partition: i64, token: i64, checkpoint: i64, messages: Vec<Message> },
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

fn tell(operation: &str, mut answer: Value) {
    answer["operation"] = operation.into();
    println!("{answer}");
}

/// A statement that answers a version and a position.
async fn place(client: &Client, text: &str, values: Parameters<'_>) -> Result<Value, Error> {
    let row = client.query_one(text, values).await?;
    Ok(json!({"version": row.get::<_, i64>(0), "global_position": row.get::<_, i64>(1)}))
}

/// A statement that answers one JSON object.
async fn one<T: DeserializeOwned>(client: &Client, text: &str, values: Parameters<'_>) -> Result<T, Error> {
    Ok(client.query_one(text, values).await?.get::<_, Json<T>>(0).0)
}

fn sqlstate(error: &Error) -> &str {
    error.code().expect("an error of the server").code()
}

/// A connection, and the names of the channels on which it is notified.
async fn connect() -> (Client, mpsc::UnboundedReceiver<String>) {
    let variable = |name| env::var(name).expect(name);
    let (host, port) = (variable("PGHOST"), variable("PGPORT"));
    let (user, database) = (variable("PGUSER"), variable("PGDATABASE"));
    let target = format!("host={host} port={port} user={user} dbname={database}");
    let (client, mut connection) = tokio_postgres::connect(&target, NoTls).await.expect("a server");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.channel().to_owned());
            }
        }
    });
    (client, receiver)
}

/// Handle a batch. The acknowledgement commits with what the handler did, so each message has its effect once.
async fn consume(client: &mut Client, handled: &mut Vec<i64>) -> Result<bool, Error> {
    let claim = one(client, "SELECT bank.claim_batch_json($1, $2)", &[&["mails"].as_slice(), &"worker-1"]).await?;
    let Claim::Claimed { subscription, partition, token, checkpoint, messages } = claim else {
        time::sleep(Duration::from_millis(5)).await;
        return Ok(matches!(claim, Claim::Busy)); // idle: wait for the bell, at most two seconds
    };
    let transaction = client.transaction().await?;
    let mut failed = 0;
    let attempt = async {
        for message in &messages {
            failed = message.global_position;
            let insert = "INSERT INTO mails VALUES ($1, $2)";
            transaction.execute(insert, &[&message.message_id, &message.global_position]).await?;
        }
        let acknowledge = "SELECT bank.acknowledge($1, $2, $3, $4, release => true)";
        transaction.execute(acknowledge, &[&subscription, &partition, &token, &checkpoint]).await?;
        Ok::<_, Error>(())
    };
    match attempt.await {
        Ok(()) => {
            transaction.commit().await?;
            handled.extend(messages.iter().map(|message| message.global_position));
        }
        // The lease was lost: another worker has the messages.
        Err(error) if error.code().is_some_and(|code| code.code() == "MS020") => {}
        Err(error) if failed == 0 => return Err(error), // no message failed, but the acknowledgement
        Err(error) => {
            transaction.rollback().await?;
            let fail = "SELECT bank.fail_message($1, $2, $3, $4, $5)";
            client.execute(fail, &[&subscription, &partition, &token, &failed, &error.to_string()]).await?;
        }
    }
    Ok(true)
}

/// Wait for a message. The session that listens holds the bell: only then do writers notify.
async fn notified(looked_position: i64, meanwhile: impl AsyncFnOnce()) -> Result<bool, Error> {
    let (sleeper, mut notifications) = connect().await;
    let row = sleeper.query_one("SELECT bank.wake_channel(), pg_backend_pid()", &[]).await?;
    let (channel, pid): (String, i32) = (row.get(0), row.get(1));
    sleeper.batch_execute(&format!("LISTEN \"{channel}\"")).await?;
    let look = sleeper.query_one("SELECT * FROM bank.fall_asleep($1)", &[&pid]).await?;
    let wait = look.get::<_, i64>("safe_position") <= looked_position && !look.get::<_, bool>("in_flight");
    meanwhile().await;
    let came = wait && time::timeout(Duration::from_secs(10), notifications.recv()).await.is_ok();
    sleeper.execute("SELECT bank.wake_up($1)", &[&pid]).await?;
    Ok(came)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (mut client, _) = connect().await;

    // Write. A Value is sent as JSON. Numbers must have the type of the parameter: i64 for bigint.
    let write = "SELECT * FROM bank.write_message($1, $2, $3)";
    tell("write", place(&client, write, &[&"account-1", &"Opened", &json!({"owner": "Ann"})]).await?);

    // Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
    let expecting = "SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)";
    let amount = json!({"amount": 10});
    let deposit: Parameters = &[&"account-1", &"Deposited", &amount, &1i64];
    let deposited = place(&client, expecting, deposit).await?;
    let conflict = place(&client, expecting, deposit).await.expect_err("a conflict");
    let detail = conflict.as_db_error().and_then(|error| error.detail()).expect("a detail");
    let detail: Value = serde_json::from_str(detail).expect("JSON");
    tell(
        "expected version",
        json!({"version": deposited["version"], "sqlstate": sqlstate(&conflict), "detail": detail}),
    );

    // Write again, because no answer came: the same id is stored once, and answers the same.
    let again = "SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)";
    let (id, amount) = (Uuid::new_v4(), json!({"amount": 5}));
    let withdrawal: Parameters = &[&"account-1", &"Withdrawn", &amount, &id];
    let first = place(&client, again, withdrawal).await?;
    tell("retry", json!({"first": first, "again": place(&client, again, withdrawal).await?}));

    // A batch.
    let messages = json!([
        {"type": "Deposited", "data": {"amount": 20}},
        {"type": "Noted", "data": {"text": "It's \"5 €\""}},
    ]);
    let batch = "SELECT * FROM bank.write_messages($1, $2)";
    tell("batch", place(&client, batch, &[&"account-1", &messages]).await?);

    // Decide on messages with a tag, and write only if no other one has come.
    let query = json!([{"tags": ["seat-7"]}]);
    let taken: Value = one(&client, "SELECT bank.read_tagged_json($1)", &[&query]).await?;
    let token = taken["decided_upon"].as_str();
    let unless = "SELECT * FROM bank.write_if($1, $2, $3, $4)";
    let booking = json!([{"type": "Booked", "data": {"seat": 7}, "tags": ["seat-7"]}]);
    let mut booked = place(&client, unless, &[&"booking-1", &booking, &query, &token]).await?;
    let late = place(&client, unless, &[&"booking-2", &booking, &query, &token]).await.expect_err("a conflict");
    booked["sqlstate"] = sqlstate(&late).into();
    tell("condition", booked);

    // Read a stream.
    let read = "SELECT version, type, data FROM bank.read_stream($1)";
    let rows = client.query(read, &[&"account-1"]).await?;
    let messages = rows.iter().map(
        |row| json!({"version": row.get::<_, i64>(0), "type": row.get::<_, &str>(1), "data": row.get::<_, Value>(2)}),
    );
    tell("read stream", json!({"messages": messages.collect::<Value>()}));

    // Follow everything, page by page. Store reached_position to continue there.
    let next = "SELECT bank.read_page_json($1, $2)";
    let mut positions = vec![];
    let mut page: Page = one(&client, next, &[&0i64, &2i64]).await?;
    loop {
        positions.extend(page.messages.iter().map(|message| message.global_position));
        if !page.more {
            break;
        }
        page = one(&client, next, &[&page.reached_position, &2i64]).await?;
    }
    tell("follow", json!({"positions": positions}));

    // Consume.
    let subscribe = "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')";
    client.execute(subscribe, &[&"mails", &["account"].as_slice()]).await?;
    let mut handled = vec![];
    while consume(&mut client, &mut handled).await? {}
    let lost = client.execute("SELECT bank.acknowledge($1, 0, 1, 1)", &[&"mails"]).await.expect_err("a lost lease");
    tell("consume", json!({"handled": handled, "lost": sqlstate(&lost)}));

    // Wait for a message, which somebody else writes.
    let came = notified(page.looked_position, async || {
        let owner = json!({"owner": "Bo"});
        place(&client, write, &[&"account-2", &"Opened", &owner]).await.expect("a write");
    });
    let came = came.await?;
    page = one(&client, next, &[&page.reached_position, &10i64]).await?;
    tell("listen", json!({"notified": came, "messages": page.messages}));
    Ok(())
}
