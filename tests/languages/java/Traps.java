// What goes wrong with JDBC, and what helps.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;

public class Traps {
  interface Call {
    void run() throws SQLException;
  }

  static Connection connect(String options) throws SQLException {
    var e = System.getenv();
    var url = "jdbc:postgresql://" + e.get("PGHOST") + ":" + e.get("PGPORT") + "/" + e.get("PGDATABASE");
    return DriverManager.getConnection(url + options, e.get("PGUSER"), e.get("PGPASSWORD"));
  }

  static void tell(String trap, Call call) {
    var answer = "works";
    try {
      call.run();
    } catch (SQLException error) {
      answer = error.getSQLState();
    }
    System.out.println("{\"trap\": \"" + trap + "\", \"answer\": \"" + answer + "\"}");
  }

  static void write(Connection conn, String sql) throws SQLException {
    try (var statement = conn.prepareStatement(sql)) {
      statement.setString(1, "{\"n\": 1}");
      statement.executeQuery();
    }
  }

  public static void main(String[] arguments) throws SQLException {
    // The driver says that a string is of type varchar, and there is no function of that.
    var bare = "SELECT * FROM bank.write_message('a-1', 'A', ?)";
    var cast = "SELECT * FROM bank.write_message('a-1', 'A', ?::jsonb)";
    try (var conn = connect(""); var unspecified = connect("?stringtype=unspecified")) {
      tell("JDBC: a string as jsonb", () -> write(conn, bare));
      tell("JDBC: ?::jsonb", () -> write(conn, cast));
      tell("JDBC: stringtype=unspecified", () -> write(unspecified, bare));

      // A function of type void answers one row all the same.
      var subscribe = "SELECT bank.create_subscription('traps')";
      var pause = "SELECT bank.pause_subscription('traps')";
      try (var statement = conn.createStatement()) {
        tell("JDBC: execute", () -> statement.execute(subscribe));
        tell("JDBC: executeUpdate of a function", () -> statement.executeUpdate(pause));
        tell("JDBC: execute of a function", () -> statement.execute(pause));
      }
    }
  }
}
