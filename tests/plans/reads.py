"""Reads of one stream, and of messages by their ids."""

from tests.plans.case import Case, ids

READS = {
    "first page": Case("SELECT * FROM read_stream('big-1', max_count => 10)", 10, 50),
    "page in the middle": Case("SELECT * FROM read_stream('big-1', 5000, 10)", 10, 50),
    "last page": Case("SELECT * FROM read_stream('big-1', NULL, 10, true)", 10, 50),
    "page before": Case("SELECT * FROM read_stream('big-1', 5000, 10, true)", 10, 50),
    "large page": Case("SELECT * FROM read_stream('big-1')", 1000, 1500),
    "large page in the middle": Case("SELECT * FROM read_stream('big-1', 5000)", 1000, 1500),
    "large page backward": Case("SELECT * FROM read_stream('medium-2', NULL, 500, true)", 500, 800),
    "short stream": Case("SELECT * FROM read_stream('small-7')", 10, 50),
    "missing stream": Case("SELECT * FROM read_stream('none-1')", 0, 50),
    "last message": Case("SELECT * FROM last_message('big-1')", 2, 50),
    "last message of a type": Case("SELECT * FROM last_message('medium-2', 'T2')", 8, 50),
    "last message of none": Case("SELECT * FROM last_message('none-1')", 0, 50),
    "version": Case("SELECT stream_version('big-1')", 2, 50),
    "message": Case("SELECT * FROM get_message(md5('77')::uuid)", 2, 50),
    "no message": Case("SELECT * FROM get_message(md5('none')::uuid)", 0, 50),
    "three messages": Case(f"SELECT * FROM get_messages({ids('VALUES (77), (4), (9999)')})", 6, 60),
    "a hundred messages": Case(
        f"SELECT * FROM get_messages({ids('SELECT generate_series(1, 100)')})", 200, 1500
    ),
    "load": Case("SELECT * FROM load_stream('big-1', max_count => 10)", 10, 50),
    "load, a snapshot that is not there": Case(
        "SELECT * FROM load_stream('big-1', 's', 1, max_count => 10)", 10, 50
    ),
    "load, a known state": Case(
        "SELECT * FROM load_stream('big-1', 's', 1, known_message_id => md5('5000')::uuid,"
        " known_changes => 0, max_count => 10)",
        10,
        50,
    ),
    "load, up to a time": Case(
        "SELECT * FROM load_stream('small-7', to_time => '-infinity')", 10, 50
    ),
    "load, missing stream": Case("SELECT * FROM load_stream('none-1', 's', 1)", 0, 50),
    "one stream's statistics": Case(
        "SELECT * FROM stream_statistics WHERE stream = 'big-1'", 3, 50
    ),
}
