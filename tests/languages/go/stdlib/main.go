// Go with database/sql and pgx's driver for it. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

type Place struct {
	Version        int64 `json:"version"`
	GlobalPosition int64 `json:"global_position"`
}

type Message struct {
	MessageID      string          `json:"message_id"`
	Stream         string          `json:"stream"`
	Version        int64           `json:"version"`
	GlobalPosition int64           `json:"global_position"`
	Type           string          `json:"type"`
	Data           json.RawMessage `json:"data"`
}

type Page struct {
	ReachedPosition int64     `json:"reached_position"`
	LookedPosition  int64     `json:"looked_position"`
	More            bool      `json:"more"`
	Messages        []Message `json:"messages"`
}

type Claim struct {
	State        string    `json:"state"`
	Subscription string    `json:"subscription"`
	Partition    int64     `json:"partition"`
	Token        int64     `json:"token"`
	Checkpoint   int64     `json:"checkpoint"`
	Messages     []Message `json:"messages"`
}

type object = map[string]any

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func tell(operation string, answer object) {
	answer["operation"] = operation
	must(0, json.NewEncoder(os.Stdout).Encode(answer))
}

// asJSON is what a parameter of type jsonb takes: text.
func asJSON(value any) string {
	return string(must(json.Marshal(value)))
}

// one runs a statement that answers one JSON object.
func one[T any](db *sql.DB, text string, values ...any) (answer T) {
	var raw []byte
	must(0, db.QueryRow(text, values...).Scan(&raw))
	must(0, json.Unmarshal(raw, &answer))
	return answer
}

func place(db *sql.DB, text string, values ...any) (answer Place, err error) {
	err = db.QueryRow(text, values...).Scan(&answer.Version, &answer.GlobalPosition)
	return answer, err
}

func failure(err error) *pgconn.PgError {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) {
		panic(err)
	}
	return failed
}

// handle does what a message asks for, in the transaction that acknowledges it.
func handle(tx *sql.Tx, message Message) error {
	_, err := tx.Exec("INSERT INTO mails VALUES ($1, $2)", message.MessageID, message.GlobalPosition)
	return err
}

// attempt answers the message that failed, if one did, and why.
func attempt(db *sql.DB, claim Claim) (Message, error) {
	tx := must(db.Begin())
	defer tx.Rollback() // does nothing after Commit
	for _, message := range claim.Messages {
		if err := handle(tx, message); err != nil {
			return message, err
		}
	}
	_, err := tx.Exec("SELECT bank.acknowledge($1, $2, $3, $4, release => true)",
		claim.Subscription, claim.Partition, claim.Token, claim.Checkpoint)
	if err != nil {
		return Message{}, err
	}
	return Message{}, tx.Commit()
}

// consume handles a batch. The acknowledgement commits with what the handler did, so each message has its effect once.
func consume(db *sql.DB, handled *[]int64) bool {
	claim := one[Claim](db, "SELECT bank.claim_batch_json($1, $2)", []string{"mails"}, "worker-1")
	if claim.State == "idle" {
		return false // wait for the bell, at most two seconds
	}
	if claim.State == "busy" {
		time.Sleep(5 * time.Millisecond)
		return true
	}
	failed, err := attempt(db, claim)
	if err == nil {
		for _, message := range claim.Messages {
			*handled = append(*handled, message.GlobalPosition)
		}
	} else if failed.GlobalPosition == 0 && failure(err).Code != "MS020" {
		panic(err) // no message failed, but the acknowledgement
	} else if failure(err).Code != "MS020" { // with that code another worker has the messages
		must(db.Exec("SELECT bank.fail_message($1, $2, $3, $4, $5)",
			claim.Subscription, claim.Partition, claim.Token, failed.GlobalPosition, err.Error()))
	}
	return true
}

// notified waits for a message. The session that listens holds the bell: only then do writers notify. database/sql
// knows no notifications: Raw gives pgx's connection, on which the same session waits.
func notified(db *sql.DB, lookedPosition int64, meanwhile func()) bool {
	conn := must(db.Conn(ctx))
	defer conn.Close()
	var channel string
	var pid, safe int64
	var inFlight bool
	must(0, conn.QueryRowContext(ctx, "SELECT bank.wake_channel(), pg_backend_pid()").Scan(&channel, &pid))
	must(conn.ExecContext(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()))
	must(0, conn.QueryRowContext(ctx, "SELECT * FROM bank.fall_asleep($1)", pid).Scan(&safe, &inFlight))
	wait := safe <= lookedPosition && !inFlight
	meanwhile()
	if wait {
		patience, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		// After a time-out pgx has closed the connection, and with it the bell.
		must(0, conn.Raw(func(driver any) error {
			_, err := driver.(*stdlib.Conn).Conn().WaitForNotification(patience)
			return err
		}))
	}
	must(conn.ExecContext(ctx, "SELECT bank.wake_up($1)", pid))
	must(conn.ExecContext(ctx, "UNLISTEN *")) // the pool gives the session to others
	return wait
}

func main() {
	db := must(sql.Open("pgx", ""))

	// Write. JSON is sent as text.
	write := "SELECT * FROM bank.write_message($1, $2, $3)"
	written := must(place(db, write, "account-1", "Opened", asJSON(object{"owner": "Ann"})))
	tell("write", object{"version": written.Version, "global_position": written.GlobalPosition})

	// Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
	expecting := "SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)"
	deposited := must(place(db, expecting, "account-1", "Deposited", `{"amount": 10}`, 1))
	_, err := place(db, expecting, "account-1", "Deposited", `{"amount": 10}`, 1)
	conflict := failure(err)
	tell("expected version", object{
		"version": deposited.Version, "sqlstate": conflict.Code, "detail": json.RawMessage(conflict.Detail),
	})

	// Write again, because no answer came: the same id is stored once, and answers the same.
	again := "SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)"
	id := make([]byte, 16)
	must(rand.Read(id))
	first := must(place(db, again, "account-1", "Withdrawn", `{"amount": 5}`, fmt.Sprintf("%x", id)))
	second := must(place(db, again, "account-1", "Withdrawn", `{"amount": 5}`, fmt.Sprintf("%x", id)))
	tell("retry", object{"first": first, "again": second})

	// A batch.
	batch := must(place(db, "SELECT * FROM bank.write_messages($1, $2)", "account-1", asJSON([]object{
		{"type": "Deposited", "data": object{"amount": 20}},
		{"type": "Noted", "data": object{"text": `It's "5 €"`}},
	})))
	tell("batch", object{"version": batch.Version, "global_position": batch.GlobalPosition})

	// Decide on messages with a tag, and write only if no other one has come.
	query := asJSON([]object{{"tags": []string{"seat-7"}}})
	taken := one[struct {
		DecidedUpon string `json:"decided_upon"`
	}](db, "SELECT bank.read_tagged_json($1)", query)
	unless := "SELECT * FROM bank.write_if($1, $2, $3, $4)"
	booking := asJSON([]object{{"type": "Booked", "data": object{"seat": 7}, "tags": []string{"seat-7"}}})
	booked := must(place(db, unless, "booking-1", booking, query, taken.DecidedUpon))
	_, err = place(db, unless, "booking-2", booking, query, taken.DecidedUpon)
	tell("condition", object{
		"version": booked.Version, "global_position": booked.GlobalPosition, "sqlstate": failure(err).Code,
	})

	// Read a stream.
	rows := must(db.Query("SELECT version, type, data FROM bank.read_stream($1)", "account-1"))
	messages := []object{}
	for rows.Next() {
		var version int64
		var kind string
		var data []byte
		must(0, rows.Scan(&version, &kind, &data))
		messages = append(messages, object{"version": version, "type": kind, "data": json.RawMessage(data)})
	}
	must(0, rows.Err())
	tell("read stream", object{"messages": messages})

	// Follow everything, page by page. Store ReachedPosition to continue there.
	page, positions := Page{More: true}, []int64{}
	for page.More {
		page = one[Page](db, "SELECT bank.read_page_json($1, $2)", page.ReachedPosition, 2)
		for _, message := range page.Messages {
			positions = append(positions, message.GlobalPosition)
		}
	}
	tell("follow", object{"positions": positions})

	// Consume.
	subscribe := "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')"
	must(db.Exec(subscribe, "mails", []string{"account"}))
	handled := []int64{}
	for consume(db, &handled) {
	}
	_, err = db.Exec("SELECT bank.acknowledge($1, 0, 1, 1)", "mails")
	tell("consume", object{"handled": handled, "lost": failure(err).Code})

	// Wait for a message, which somebody else writes.
	woken := notified(db, page.LookedPosition, func() {
		must(place(db, write, "account-2", "Opened", asJSON(object{"owner": "Bo"})))
	})
	page = one[Page](db, "SELECT bank.read_page_json($1, $2)", page.ReachedPosition, 10)
	tell("listen", object{"notified": woken, "messages": page.Messages})
}
