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
	tell("pq: a row without a message into a string", db.QueryRow(rows).Scan(&kind))
	tell("pq: a row without a message into a NullString", db.QueryRow(rows).Scan(&found))
	tell("pq: read_page_json into bytes", db.QueryRow(page).Scan(&raw))
}
