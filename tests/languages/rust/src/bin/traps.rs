//! What goes wrong with tokio-postgres, and what helps.
use std::env;

use serde_json::json;
use tokio_postgres::{Client, NoTls, types::ToSql};

async fn tell(client: &Client, trap: &str, data: &(dyn ToSql + Sync), version: &(dyn ToSql + Sync)) {
    let write = "SELECT * FROM bank.write_message('a-1', 'A', $1, expected_version => $2)";
    let answer = match client.query_one(write, &[data, version]).await {
        Ok(_) => "works",
        Err(error) if error.code().is_some() => "refused by the server",
        Err(_) => "refused by the driver",
    };
    println!("{}", json!({"trap": format!("tokio-postgres: {trap}"), "answer": answer}));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let variable = |name| env::var(name).expect(name);
    let (host, port) = (variable("PGHOST"), variable("PGPORT"));
    let (user, database) = (variable("PGUSER"), variable("PGDATABASE"));
    let target = format!("host={host} port={port} user={user} dbname={database}");
    let (client, connection) = tokio_postgres::connect(&target, NoTls).await.expect("a server");
    tokio::spawn(connection);
    let (value, none) = (json!({"n": 1}), None::<i64>);
    tell(&client, "i32 as bigint", &value, &0i32).await;
    tell(&client, "i64 as bigint", &value, &0i64).await;
    tell(&client, "a text as jsonb", &"{}", &none).await;
    tell(&client, "a Value as jsonb", &value, &none).await;
}
