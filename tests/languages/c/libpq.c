/* C with libpq. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int FEW = 2, MANY = 100;

static PGconn *connect_to_server(void) {
  PGconn *conn = PQconnectdb("client_encoding=UTF8");
  if (PQstatus(conn) != CONNECTION_OK) {
    fprintf(stderr, "%s", PQerrorMessage(conn));
    exit(1);
  }
  return conn;
}

/* Run a statement. Parameters are texts, and so are results: JSON and numbers too. */
static PGresult *attempt(PGconn *conn, const char *text, int count, const char *const *values) {
  return PQexecParams(conn, text, count, NULL, values, NULL, NULL, 0);
}

static bool failed(const PGresult *result) {
  return PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK;
}

static PGresult *run(PGconn *conn, const char *text, int count, const char *const *values) {
  PGresult *result = attempt(conn, text, count, values);
  if (failed(result)) {
    fprintf(stderr, "%s: %s", text, PQresultErrorMessage(result));
    exit(1);
  }
  return result;
}

/* The value in a row, by the column's name; NULL for NULL. */
static const char *value(const PGresult *result, int row, const char *name) {
  int column = PQfnumber(result, name);
  return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static const char *sqlstate(const PGresult *result) {
  return PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

static void tell_place(const char *before, const PGresult *result, const char *after) {
  const char *position = value(result, 0, "global_position");
  printf("%s\"version\": %s, \"global_position\": %s%s", before, value(result, 0, "version"), position, after);
}

static void write_messages(PGconn *conn) {
  /* Write. */
  const char *opened[] = {"account-1", "Opened", "{\"owner\": \"Ann\"}"};
  PGresult *result = run(conn, "SELECT * FROM bank.write_message($1, $2, $3)", 3, opened);
  tell_place("{\"operation\": \"write\", ", result, "}\n");
  PQclear(result);

  /* Write only if the stream is at version 1. The second time it is not: a code, and JSON as detail. */
  const char *expecting = "SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)";
  const char *deposit[] = {"account-1", "Deposited", "{\"amount\": 10}", "1"};
  result = run(conn, expecting, 4, deposit);
  PGresult *conflict = attempt(conn, expecting, 4, deposit);
  printf("{\"operation\": \"expected version\", \"version\": %s, ", value(result, 0, "version"));
  const char *detail = PQresultErrorField(conflict, PG_DIAG_MESSAGE_DETAIL);
  printf("\"sqlstate\": \"%s\", \"detail\": %s}\n", sqlstate(conflict), detail);
  PQclear(result);
  PQclear(conflict);

  /* Write again, because no answer came: the same id is stored once, and answers the same. */
  const char *again = "SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)";
  PGresult *id = run(conn, "SELECT bank.new_message_id() AS id", 0, NULL);
  const char *withdrawal[] = {"account-1", "Withdrawn", "{\"amount\": 5}", value(id, 0, "id")};
  result = run(conn, again, 4, withdrawal);
  PGresult *second = run(conn, again, 4, withdrawal);
  tell_place("{\"operation\": \"retry\", \"first\": {", result, "}");
  tell_place(", \"again\": {", second, "}}\n");
  PQclear(id);
  PQclear(result);
  PQclear(second);

  /* A batch, as one JSON array. */
  const char *batch[] = {"account-1", "[{\"type\": \"Deposited\", \"data\": {\"amount\": 20}},"
                                      " {\"type\": \"Noted\", \"data\": {\"text\": \"It's \\\"5 €\\\"\"}}]"};
  result = run(conn, "SELECT * FROM bank.write_messages($1, $2)", 2, batch);
  tell_place("{\"operation\": \"batch\", ", result, "}\n");
  PQclear(result);
}

/* Decide on messages with a tag, and write only if no other one has come. */
static void decide(PGconn *conn) {
  const char *query = "[{\"tags\": [\"seat-7\"]}]";
  const char *booking = "[{\"type\": \"Booked\", \"data\": {\"seat\": 7}, \"tags\": [\"seat-7\"]}]";
  const char *look = "SELECT bank.read_tagged_json($1) ->> 'decided_upon' AS token";
  PGresult *taken = run(conn, look, 1, &query);
  const char *unless = "SELECT * FROM bank.write_if($1, $2, $3, $4)";
  const char *first[] = {"booking-1", booking, query, value(taken, 0, "token")};
  PGresult *booked = run(conn, unless, 4, first);
  const char *second[] = {"booking-2", booking, query, value(taken, 0, "token")};
  PGresult *late = attempt(conn, unless, 4, second);
  tell_place("{\"operation\": \"condition\", ", booked, ", ");
  printf("\"sqlstate\": \"%s\"}\n", sqlstate(late));
  PQclear(taken);
  PQclear(booked);
  PQclear(late);
}

static void read_stream(PGconn *conn) {
  const char *stream = "account-1";
  PGresult *result = run(conn, "SELECT version, type, data FROM bank.read_stream($1)", 1, &stream);
  printf("{\"operation\": \"read stream\", \"messages\": [");
  for (int row = 0; row < PQntuples(result); row++) {
    printf("%s{\"version\": %s, ", row ? ", " : "", value(result, row, "version"));
    printf("\"type\": \"%s\", \"data\": %s}", value(result, row, "type"), value(result, row, "data"));
  }
  printf("]}\n");
  PQclear(result);
}

/* A page of everything. The last row of a page that is not full has no message, and two positions. */
static PGresult *read_page(PGconn *conn, long long *reached, int count) {
  char after[32], size[32];
  snprintf(after, sizeof after, "%lld", *reached);
  snprintf(size, sizeof size, "%d", count);
  const char *values[] = {after, size};
  PGresult *page = run(conn, "SELECT * FROM bank.read_page($1, $2)", 2, values);
  int last = PQntuples(page) - 1;
  const char *position = value(page, last, "reached_position");
  *reached = atoll(position ? position : value(page, last, "global_position"));
  return page;
}

/* Follow everything, page by page. Store the reached position to continue there. */
static long long follow(PGconn *conn, long long *reached) {
  long long looked = -1;
  const char *between = "";
  printf("{\"operation\": \"follow\", \"positions\": [");
  while (looked < 0) {
    PGresult *page = read_page(conn, reached, FEW);
    for (int row = 0; row < PQntuples(page); row++) {
      if (value(page, row, "message_id")) {
        printf("%s%s", between, value(page, row, "global_position"));
        between = ", ";
      } else {
        looked = atoll(value(page, row, "looked_position"));
      }
    }
    PQclear(page);
  }
  printf("]}\n");
  return looked;
}

/* What a message asks for, in the transaction that acknowledges it; the SQLSTATE of the error, or NULL. */
static const char *handle(PGconn *conn, const PGresult *claim, const char **position, char state[6]) {
  int last = PQntuples(claim) - 1;
  PQclear(run(conn, "BEGIN", 0, NULL));
  PGresult *result = NULL; /* of the last message; there may be none */
  for (int row = 0; row <= last && value(claim, row, "message_id"); row++) {
    *position = value(claim, row, "global_position");
    const char *mail[] = {value(claim, row, "message_id"), *position};
    PQclear(result);
    result = attempt(conn, "INSERT INTO mails VALUES ($1, $2)", 2, mail);
    if (failed(result)) break;
  }
  if (!result || !failed(result)) {
    PQclear(result);
    const char *checkpoint[] = {value(claim, last, "subscription"), value(claim, last, "partition"),
                                value(claim, last, "token"), value(claim, last, "checkpoint")};
    result = attempt(conn, "SELECT bank.acknowledge($1, $2, $3, $4, release => true)", 4, checkpoint);
  }
  bool refused = failed(result);
  snprintf(state, 6, "%s", refused ? sqlstate(result) : "");
  if (refused && !*position && strcmp(state, "MS020")) { /* no message failed, but the acknowledgement */
    fprintf(stderr, "%s", PQresultErrorMessage(result));
    exit(1);
  }
  PQclear(result);
  PQclear(run(conn, refused ? "ROLLBACK" : "COMMIT", 0, NULL));
  return refused ? state : NULL;
}

/* Consume: the acknowledgement commits with what the handler did, so each message has its effect once. */
static bool consume(PGconn *conn, long long *handled, int *count) {
  const char *values[] = {"{mails}", "worker-1"};
  PGresult *claim = run(conn, "SELECT * FROM bank.claim_batch($1, $2)", 2, values);
  int rows = PQntuples(claim);
  if (rows == 0) { /* wait for the bell, at most two seconds */
    PQclear(claim);
    return false;
  }
  const char *lease[] = {value(claim, 0, "subscription"), value(claim, 0, "partition"), value(claim, 0, "token"),
                         NULL, NULL};
  char state[6];
  if (!lease[0]) { /* others look for work just now */
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  } else if (!value(claim, rows - 1, "checkpoint")) { /* a lease, and nothing to fetch */
    PQclear(run(conn, "SELECT bank.release_partition($1, $2, $3)", 3, lease));
  } else if (!handle(conn, claim, &lease[3], state)) {
    for (int row = 0; row < rows && value(claim, row, "message_id"); row++)
      if (*count < MANY) handled[(*count)++] = atoll(value(claim, row, "global_position"));
  } else if (strcmp(state, "MS020")) { /* with that code another worker has the messages */
    lease[4] = state;
    PQclear(run(conn, "SELECT bank.fail_message($1, $2, $3, $4, $5)", 5, lease));
  }
  PQclear(claim);
  return true;
}

static void consume_all(PGconn *conn) {
  const char *subscription[] = {"mails", "{account}"};
  const char *subscribe = "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')";
  PQclear(run(conn, subscribe, 2, subscription));
  long long handled[MANY];
  int count = 0;
  while (consume(conn, handled, &count)) {
  }
  PGresult *lost = attempt(conn, "SELECT bank.acknowledge($1, 0, 1, 1)", 1, subscription);
  printf("{\"operation\": \"consume\", \"handled\": [");
  for (int n = 0; n < count; n++) printf("%s%lld", n ? ", " : "", handled[n]);
  printf("], \"lost\": \"%s\"}\n", sqlstate(lost));
  PQclear(lost);
}

/* Wait for a message. The session that listens holds the bell: only then do writers notify. */
static void listen_once(PGconn *conn, long long reached, long long looked) {
  PGconn *sleeper = connect_to_server();
  char pid[16], text[128];
  const char *process = pid;
  snprintf(pid, sizeof pid, "%d", PQbackendPID(sleeper));
  PGresult *channel = run(sleeper, "SELECT bank.wake_channel() AS name", 0, NULL);
  snprintf(text, sizeof text, "LISTEN \"%s\"", value(channel, 0, "name"));
  PQclear(run(sleeper, text, 0, NULL));
  PGresult *look = run(sleeper, "SELECT * FROM bank.fall_asleep($1)", 1, &process);
  bool wait = atoll(value(look, 0, "safe_position")) <= looked && value(look, 0, "in_flight")[0] == 'f';
  const char *opened[] = {"account-2", "Opened", "{\"owner\": \"Bo\"}"}; /* by somebody else */
  PQclear(run(conn, "SELECT * FROM bank.write_message($1, $2, $3)", 3, opened));
  if (wait) poll(&(struct pollfd){.fd = PQsocket(sleeper), .events = POLLIN}, 1, 10000);
  PQconsumeInput(sleeper);
  PGnotify *notified = wait ? PQnotifies(sleeper) : NULL;
  PQclear(run(sleeper, "SELECT bank.wake_up($1)", 1, &process));
  PGresult *page = read_page(conn, &reached, FEW);
  printf("{\"operation\": \"listen\", \"notified\": %s, \"messages\": [", notified ? "true" : "false");
  for (int row = 0; row < PQntuples(page) && value(page, row, "message_id"); row++) {
    printf("{\"message_id\": \"%s\", ", value(page, row, "message_id"));
    printf("\"global_position\": %s}", value(page, row, "global_position"));
  }
  printf("]}\n");
  PQfreemem(notified);
  PQclear(channel);
  PQclear(look);
  PQclear(page);
  PQfinish(sleeper);
}

int main(void) {
  PGconn *conn = connect_to_server();
  write_messages(conn);
  decide(conn);
  read_stream(conn);
  long long reached = 0;
  long long looked = follow(conn, &reached);
  consume_all(conn);
  listen_once(conn, reached, looked);
  PQfinish(conn);
  return 0;
}
