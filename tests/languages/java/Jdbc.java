// Java with JDBC (org.postgresql:postgresql). PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class Jdbc {
  record Place(long version, long globalPosition) {
    String json() {
      return "{\"version\": %d, \"global_position\": %d}".formatted(version, globalPosition);
    }
  }

  record Message(UUID id, long position) {}

  interface Rows<T> {
    T read(ResultSet rows) throws SQLException;
  }

  static Connection connect() throws SQLException {
    var e = System.getenv();
    var url = "jdbc:postgresql://" + e.get("PGHOST") + ":" + e.get("PGPORT") + "/" + e.get("PGDATABASE");
    return DriverManager.getConnection(url, e.get("PGUSER"), e.get("PGPASSWORD"));
  }

  static <T> T query(Connection conn, Rows<T> rows, String sql, Object... values) throws SQLException {
    try (var statement = conn.prepareStatement(sql)) {
      for (int n = 0; n < values.length; n++) {
        if (values[n] instanceof String[] texts) statement.setArray(n + 1, conn.createArrayOf("text", texts));
        else statement.setObject(n + 1, values[n]);
      }
      // Not executeUpdate: a function of type void answers a row too.
      return statement.execute() ? rows.read(statement.getResultSet()) : null;
    }
  }

  static Place place(Connection conn, String sql, Object... values) throws SQLException {
    return query(conn, Jdbc::readPlace, sql, values);
  }

  static Place readPlace(ResultSet rows) throws SQLException {
    rows.next();
    return new Place(rows.getLong(1), rows.getLong(2));
  }

  static String text(Connection conn, String sql, Object... values) throws SQLException {
    return query(conn, rows -> rows.next() ? rows.getString(1) : null, sql, values);
  }

  static PSQLException failure(Connection conn, String sql, Object... values) throws SQLException {
    try {
      query(conn, rows -> null, sql, values);
    } catch (PSQLException error) {
      return error;
    }
    throw new AssertionError("no error");
  }

  static void tell(String operation, String json) {
    System.out.println("{\"operation\": \"" + operation + "\", " + json.substring(1));
  }

  public static void main(String[] arguments) throws Exception {
    try (var conn = connect()) {
      write(conn);
      decide(conn);
      long looked = read(conn);
      consume(conn);
      listen(conn, looked);
    }
  }

  static void write(Connection conn) throws SQLException {
    // Write. A string needs the cast ?::jsonb.
    var write = "SELECT * FROM bank.write_message(?, ?, ?::jsonb)";
    tell("write", place(conn, write, "account-1", "Opened", "{\"owner\": \"Ann\"}").json());

    // Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
    var expecting = "SELECT * FROM bank.write_message(?, ?, ?::jsonb, expected_version => ?)";
    var deposited = place(conn, expecting, "account-1", "Deposited", "{\"amount\": 10}", 1);
    var conflict = failure(conn, expecting, "account-1", "Deposited", "{\"amount\": 10}", 1);
    var detail = conflict.getServerErrorMessage().getDetail();
    var told = "{\"version\": %d, \"sqlstate\": \"%s\", \"detail\": %s}";
    tell("expected version", told.formatted(deposited.version, conflict.getSQLState(), detail));

    // Write again, because no answer came: the same id is stored once, and answers the same.
    var again = "SELECT * FROM bank.write_message(?, ?, ?::jsonb, message_id => ?)";
    var id = UUID.randomUUID();
    var first = place(conn, again, "account-1", "Withdrawn", "{\"amount\": 5}", id);
    var second = place(conn, again, "account-1", "Withdrawn", "{\"amount\": 5}", id);
    tell("retry", "{\"first\": %s, \"again\": %s}".formatted(first.json(), second.json()));

    // A batch, as one JSON array.
    var messages =
        """
        [{"type": "Deposited", "data": {"amount": 20}},
         {"type": "Noted", "data": {"text": "It's \\"5 €\\""}}]""";
    tell("batch", place(conn, "SELECT * FROM bank.write_messages(?, ?::jsonb)", "account-1", messages).json());
  }

  static void decide(Connection conn) throws SQLException {
    // Decide on messages with a tag, and write only if no other one has come.
    var query = "[{\"tags\": [\"seat-7\"]}]";
    var token = text(conn, "SELECT bank.read_tagged_json(?::jsonb) ->> 'decided_upon'", query);
    var unless = "SELECT * FROM bank.write_if(?, ?::jsonb, ?::jsonb, ?)";
    var booking = "[{\"type\": \"Booked\", \"data\": {\"seat\": 7}, \"tags\": [\"seat-7\"]}]";
    var booked = place(conn, unless, "booking-1", booking, query, token).json();
    var late = failure(conn, unless, "booking-2", booking, query, token).getSQLState();
    tell("condition", booked.replace("}", ", \"sqlstate\": \"" + late + "\"}"));
  }

  static long read(Connection conn) throws SQLException {
    // Read a stream.
    var messages = new ArrayList<String>();
    Rows<Void> read = rows -> {
      while (rows.next()) {
        var told = "{\"version\": %d, \"type\": \"%s\", \"data\": %s}";
        messages.add(told.formatted(rows.getLong("version"), rows.getString("type"), rows.getString("data")));
      }
      return null;
    };
    query(conn, read, "SELECT * FROM bank.read_stream(?)", "account-1");
    tell("read stream", "{\"messages\": " + messages + "}");

    // Follow everything, page by page. The last row of a page that is not full has no message, and two positions.
    // Store the reached position to continue there.
    var positions = new ArrayList<Long>();
    long reached = 0, looked = 0;
    while (looked == 0) {
      var page = new long[2];
      Rows<Void> next = rows -> {
        while (rows.next()) {
          if (rows.getObject("message_id", UUID.class) != null) positions.add(page[0] = rows.getLong("global_position"));
          else page[0] = rows.getLong("reached_position");
          page[1] = rows.getLong("looked_position"); // 0 for NULL
        }
        return null;
      };
      query(conn, next, "SELECT * FROM bank.read_page(?, ?)", reached, 2);
      reached = page[0];
      looked = page[1];
    }
    tell("follow", "{\"positions\": " + positions + "}");
    return looked;
  }

  static void consume(Connection conn) throws Exception {
    var subscribe = "SELECT bank.create_subscription(?, categories => ?, retry_delay => '0')";
    text(conn, subscribe, "mails", new String[] {"account"});
    var handled = new ArrayList<Long>();
    while (handle(conn, handled)) {}
    var lost = failure(conn, "SELECT bank.acknowledge(?, 0, 1, 1)", "mails").getSQLState();
    tell("consume", "{\"handled\": " + handled + ", \"lost\": \"" + lost + "\"}");
  }

  // Handle a batch. The acknowledgement commits with what the handler did, so each message has its effect once.
  static boolean handle(Connection conn, List<Long> handled) throws Exception {
    var messages = new ArrayList<Message>();
    var lease = new Object[4];
    Rows<Boolean> read = rows -> {
      boolean any = false;
      while (rows.next()) {
        any = true;
        lease[0] = rows.getString("subscription"); // null: busy
        lease[1] = rows.getLong("partition");
        lease[2] = rows.getLong("token");
        lease[3] = rows.getObject("checkpoint", Long.class);
        var id = rows.getObject("message_id", UUID.class); // null in the last row, which has the checkpoint
        if (id != null) messages.add(new Message(id, rows.getLong("global_position")));
      }
      return any;
    };
    var claim = "SELECT * FROM bank.claim_batch(?, ?)";
    if (!query(conn, read, claim, new String[] {"mails"}, "worker-1")) {
      return false; // wait for the bell, at most two seconds
    } else if (lease[0] == null) {
      Thread.sleep(5);
      return true;
    } else if (lease[3] == null) {
      text(conn, "SELECT bank.release_partition(?, ?, ?)", lease[0], lease[1], lease[2]);
      return true;
    }
    Message failed = null;
    conn.setAutoCommit(false);
    try {
      for (var message : messages) {
        failed = message;
        query(conn, rows -> null, "INSERT INTO mails VALUES (?, ?)", message.id, message.position);
      }
      query(conn, rows -> null, "SELECT bank.acknowledge(?, ?, ?, ?, release => true)", lease);
      conn.commit();
      messages.forEach(message -> handled.add(message.position));
    } catch (SQLException error) {
      conn.rollback();
      if (error.getSQLState().equals("MS020")) return true; // the lease was lost: another worker has the messages
      if (failed == null) throw error; // no message failed, but the acknowledgement
      var fail = "SELECT bank.fail_message(?, ?, ?, ?, ?)";
      text(conn, fail, lease[0], lease[1], lease[2], failed.position, error.toString());
      conn.commit();
    } finally {
      conn.setAutoCommit(true);
    }
    return true;
  }

  static void listen(Connection conn, long looked) throws SQLException {
    // Wait for a message. The session that listens holds the bell: only then do writers notify.
    boolean wait;
    try (var sleeper = connect(); var statement = sleeper.createStatement()) {
      int pid = sleeper.unwrap(PGConnection.class).getBackendPID();
      statement.execute("LISTEN \"" + text(sleeper, "SELECT bank.wake_channel()") + "\"");
      Rows<Boolean> look = rows -> rows.next() && rows.getLong("safe_position") <= looked && !rows.getBoolean("in_flight");
      wait = query(sleeper, look, "SELECT * FROM bank.fall_asleep(?)", pid);
      place(conn, "SELECT * FROM bank.write_message('account-2', 'Opened', '{\"owner\": \"Bo\"}')"); // by somebody else
      wait = wait && sleeper.unwrap(PGConnection.class).getNotifications(10_000).length > 0;
      text(sleeper, "SELECT bank.wake_up(?)", pid);
    }
    var page = text(conn, "SELECT bank.read_page_json(?, ?) -> 'messages'", looked, 10);
    tell("listen", "{\"notified\": " + wait + ", \"messages\": " + page.replace("\n", " ") + "}");
  }
}
