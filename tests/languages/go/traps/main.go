// What goes wrong in Go, and what helps.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"

	"github.com/jackc/pgx/v5"
	_ "github.com/lib/pq"
)

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func tell(trap string, err error) {
	answer := "works"
	if err != nil {
		answer = "error"
	}
	must(0, json.NewEncoder(os.Stdout).Encode(map[string]string{"trap": trap, "answer": answer}))
}

// The last row of a page that is not full has no message: its columns are NULL, which a string cannot be.
const rows = "SELECT type FROM bank.read_page()"
const page = "SELECT bank.read_page_json()"

// The first row of load_stream is the snapshot: it has no type, no position and no time.
const load = "SELECT type, global_position, added_at, changes FROM bank.load_stream('account-1')"

func main() {
	conn := must(pgx.Connect(ctx, ""))
	db := must(sql.Open("postgres", ""))
	var kind string
	var found sql.NullString
	var answer struct {
		Messages []struct{ Type string }
	}
	var raw []byte
	tell("pgx: a row without a message into a string", conn.QueryRow(ctx, rows).Scan(&kind))
	tell("pgx: a row without a message into a NullString", conn.QueryRow(ctx, rows).Scan(&found))
	tell("pgx: read_page_json into a struct", conn.QueryRow(ctx, page).Scan(&answer))
	var position, changes sql.NullInt64
	var at sql.NullTime
	into := []any{&found, &position, &at, &changes}
	tell("pgx: load_stream into a string", conn.QueryRow(ctx, load).Scan(&kind, &position, &at, &changes))
	tell("pgx: load_stream into Null types", conn.QueryRow(ctx, load).Scan(into...))
	tell("pq: load_stream into a string", db.QueryRow(load).Scan(&kind, &position, &at, &changes))
	tell("pq: load_stream into Null types", db.QueryRow(load).Scan(into...))
	tell("pq: a row without a message into a string", db.QueryRow(rows).Scan(&kind))
	tell("pq: a row without a message into a NullString", db.QueryRow(rows).Scan(&found))
	tell("pq: read_page_json into bytes", db.QueryRow(page).Scan(&raw))
}
