// Go with pgx. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// one runs a statement that answers one value or one place.
func one[T any](conn *pgx.Conn, text string, values ...any) (T, error) {
	rows, err := conn.Query(ctx, text, values...)
	if err != nil {
		return *new(T), err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

func place(conn *pgx.Conn, text string, values ...any) (Place, error) {
	rows, err := conn.Query(ctx, text, values...)
	if err != nil {
		return Place{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Place])
}

func failure(err error) *pgconn.PgError {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) {
		panic(err)
	}
	return failed
}

// consume handles a batch. The acknowledgement commits with what the handler did, so each message has its effect once.
func consume(conn *pgx.Conn, handled *[]int64) bool {
	claim := must(one[Claim](conn, "SELECT bank.claim_batch_json($1, $2)", []string{"mails"}, "worker-1"))
	if claim.State == "idle" {
		return false // wait for the bell, at most two seconds
	}
	if claim.State == "busy" {
		time.Sleep(5 * time.Millisecond)
		return true
	}
	var failed Message
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, failed = range claim.Messages {
			_, err := tx.Exec(ctx, "INSERT INTO mails VALUES ($1, $2)", failed.MessageID, failed.GlobalPosition)
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "SELECT bank.acknowledge($1, $2, $3, $4, release => true)",
			claim.Subscription, claim.Partition, claim.Token, claim.Checkpoint)
		return err
	})
	if err == nil {
		for _, message := range claim.Messages {
			*handled = append(*handled, message.GlobalPosition)
		}
	} else if failed.GlobalPosition == 0 && failure(err).Code != "MS020" {
		panic(err) // no message failed, but the acknowledgement
	} else if failure(err).Code != "MS020" { // with that code another worker has the messages
		must(conn.Exec(ctx, "SELECT bank.fail_message($1, $2, $3, $4, $5)",
			claim.Subscription, claim.Partition, claim.Token, failed.GlobalPosition, err.Error()))
	}
	return true
}

func main() {
	conn := must(pgx.Connect(ctx, ""))

	// Write. A map or a struct is sent as JSON; a string is taken for JSON text.
	write := "SELECT * FROM bank.write_message($1, $2, $3)"
	written := must(place(conn, write, "account-1", "Opened", object{"owner": "Ann"}))
	tell("write", object{"version": written.Version, "global_position": written.GlobalPosition})

	// Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
	expecting := "SELECT * FROM bank.write_message($1, $2, $3, expected_version => $4)"
	deposited := must(place(conn, expecting, "account-1", "Deposited", object{"amount": 10}, 1))
	_, err := place(conn, expecting, "account-1", "Deposited", object{"amount": 10}, 1)
	conflict := failure(err)
	tell("expected version", object{
		"version": deposited.Version, "sqlstate": conflict.Code, "detail": json.RawMessage(conflict.Detail),
	})

	// Write again, because no answer came: the same id is stored once, and answers the same.
	again := "SELECT * FROM bank.write_message($1, $2, $3, message_id => $4)"
	var id [16]byte
	must(rand.Read(id[:]))
	first := must(place(conn, again, "account-1", "Withdrawn", object{"amount": 5}, id))
	second := must(place(conn, again, "account-1", "Withdrawn", object{"amount": 5}, id))
	tell("retry", object{"first": first, "again": second})

	// A batch.
	batch := must(place(conn, "SELECT * FROM bank.write_messages($1, $2)", "account-1", []object{
		{"type": "Deposited", "data": object{"amount": 20}},
		{"type": "Noted", "data": object{"text": `It's "5 €"`}},
	}))
	tell("batch", object{"version": batch.Version, "global_position": batch.GlobalPosition})

	// Decide on messages with a tag, and write only if no other one has come.
	query := []object{{"tags": []string{"seat-7"}}}
	taken := must(one[struct {
		DecidedUpon string `json:"decided_upon"`
	}](conn, "SELECT bank.read_tagged_json($1)", query))
	unless := "SELECT * FROM bank.write_if($1, $2, $3, $4)"
	booking := []object{{"type": "Booked", "data": object{"seat": 7}, "tags": []string{"seat-7"}}}
	booked := must(place(conn, unless, "booking-1", booking, query, taken.DecidedUpon))
	_, err = place(conn, unless, "booking-2", booking, query, taken.DecidedUpon)
	tell("condition", object{
		"version": booked.Version, "global_position": booked.GlobalPosition, "sqlstate": failure(err).Code,
	})

	// Read a stream.
	rows := must(conn.Query(ctx, "SELECT version, type, data FROM bank.read_stream($1)", "account-1"))
	tell("read stream", object{"messages": must(pgx.CollectRows(rows, pgx.RowToMap))})

	// Follow everything, page by page. Store ReachedPosition to continue there.
	page, positions := Page{More: true}, []int64{}
	for page.More {
		page = must(one[Page](conn, "SELECT bank.read_page_json($1, $2)", page.ReachedPosition, 2))
		for _, message := range page.Messages {
			positions = append(positions, message.GlobalPosition)
		}
	}
	tell("follow", object{"positions": positions})

	// Consume.
	subscribe := "SELECT bank.create_subscription($1, categories => $2, retry_delay => '0')"
	must(conn.Exec(ctx, subscribe, "mails", []string{"account"}))
	handled := []int64{}
	for consume(conn, &handled) {
	}
	_, err = conn.Exec(ctx, "SELECT bank.acknowledge($1, 0, 1, 1)", "mails")
	tell("consume", object{"handled": handled, "lost": failure(err).Code})

	// Wait for a message. The session that listens holds the bell: only then do writers notify.
	sleeper := must(pgx.Connect(ctx, ""))
	channel := must(one[string](sleeper, "SELECT bank.wake_channel()"))
	must(sleeper.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()))
	var safe int64
	var inFlight bool
	pid := int32(sleeper.PgConn().PID())
	must(0, sleeper.QueryRow(ctx, "SELECT * FROM bank.fall_asleep($1)", pid).Scan(&safe, &inFlight))
	wait := safe <= page.LookedPosition && !inFlight
	must(place(conn, write, "account-2", "Opened", object{"owner": "Bo"})) // by somebody else
	if wait {
		patience, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err = sleeper.WaitForNotification(patience)
		cancel()
		wait = err == nil
	}
	must(sleeper.Exec(ctx, "SELECT bank.wake_up($1)", pid))
	page = must(one[Page](conn, "SELECT bank.read_page_json($1, $2)", page.ReachedPosition, 10))
	tell("listen", object{"notified": wait, "messages": page.Messages})
}
