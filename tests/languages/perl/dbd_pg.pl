# Perl with DBD::Pg. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
use v5.26;
use warnings;
use utf8;
use DBI;
use IO::Select;
use JSON::PP;
use Time::HiRes 'sleep';

# Text that goes in and comes out is characters, so JSON is too: not JSON::PP->new->utf8.
my $json = JSON::PP->new->canonical->allow_nonref;
binmode STDOUT, ':encoding(UTF-8)';

sub connection { return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 }) }
sub tell_of { my ($operation, %answer) = @_; say $json->encode({ operation => $operation, %answer }) }

my $dbh = connection();
sub one { my ($sql, @values) = @_; return $dbh->selectrow_hashref($sql, undef, @values) }
# The error of a call: its SQLSTATE is $dbh->state.
sub refused { my @call = @_; eval { one(@call); 1 } and die 'no error'; return $dbh->state }

# Write.
my $write = 'SELECT * FROM bank.write_message(?, ?, ?)';
tell_of('write', %{ one($write, 'account-1', 'Opened', $json->encode({ owner => 'Ann' })) });

# Write only if the stream is at version 1. The second time it is not: the error has a code, and JSON as detail.
my $expecting = 'SELECT * FROM bank.write_message(?, ?, ?, expected_version => ?)';
my @deposit = ('account-1', 'Deposited', $json->encode({ amount => 10 }), 1);
my $version = one($expecting, @deposit)->{version};
my $conflict = refused($expecting, @deposit);
my $detail = $json->decode($dbh->pg_error_field('message_detail'));
tell_of('expected version', version => $version, sqlstate => $conflict, detail => $detail);

# Write again, because no answer came: the same id is stored once, and answers the same.
my $again = 'SELECT * FROM bank.write_message(?, ?, ?, message_id => ?)';
my ($id) = $dbh->selectrow_array('SELECT bank.new_message_id()');
my @withdrawal = ('account-1', 'Withdrawn', $json->encode({ amount => 5 }), $id);
tell_of('retry', first => one($again, @withdrawal), again => one($again, @withdrawal));

# A batch.
my @messages = (
    { type => 'Deposited', data => { amount => 20 } },
    { type => 'Noted', data => { text => q(It's "5 €") } },
);
tell_of('batch', %{ one('SELECT * FROM bank.write_messages(?, ?)', 'account-1', $json->encode(\@messages)) });

# Decide on messages with a tag, and write only if no other one has come.
my $query = $json->encode([{ tags => ['seat-7'] }]);
my ($taken) = $dbh->selectrow_array('SELECT bank.read_tagged_json(?)', undef, $query);
my $token = $json->decode($taken)->{decided_upon};
my $unless = 'SELECT * FROM bank.write_if(?, ?, ?, ?)';
my $booking = $json->encode([{ type => 'Booked', data => { seat => 7 }, tags => ['seat-7'] }]);
my $booked = one($unless, 'booking-1', $booking, $query, $token);
tell_of('condition', %$booked, sqlstate => refused($unless, 'booking-2', $booking, $query, $token));

# Read a stream. JSON comes as text.
my $read = 'SELECT version, type, data FROM bank.read_stream(?)';
my $rows = $dbh->selectall_arrayref($read, { Slice => {} }, 'account-1');
$_->{data} = $json->decode($_->{data}) for @$rows;
tell_of('read stream', messages => $rows);

# Follow everything, page by page. Store reached_position to continue there.
my $page = { reached_position => 0, more => 1 };
sub next_page {
    my ($max) = @_;
    my $next = 'SELECT bank.read_page_json(?, ?)';
    $page = $json->decode($dbh->selectrow_array($next, undef, $page->{reached_position}, $max));
    return @{ $page->{messages} };
}
my @positions;
push @positions, map { $_->{global_position} } next_page(2) while $page->{more};
tell_of('follow', positions => \@positions);

# Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
sub consume {
    my ($handled) = @_;
    my $claim = 'SELECT bank.claim_batch_json(?, ?)';
    $claim = $json->decode($dbh->selectrow_array($claim, undef, ['mails'], 'worker-1'));
    return 0 if $claim->{state} eq 'idle';                # wait for the bell, at most two seconds
    return sleep(0.005) if $claim->{state} eq 'busy';
    my @lease = @$claim{qw(subscription partition token)};
    my $failed;
    $dbh->begin_work;
    my $done = eval {
        for my $message (@{ $claim->{messages} }) {
            $failed = $message->{global_position};
            $dbh->do('INSERT INTO mails VALUES (?, ?)', undef, @$message{qw(message_id global_position)});
        }
        my $acknowledge = 'SELECT bank.acknowledge(?, ?, ?, ?, release => true)';
        $dbh->do($acknowledge, undef, @lease, $claim->{checkpoint});
        $dbh->commit;
    };
    if ($done) {
        push @$handled, map { $_->{global_position} } @{ $claim->{messages} };
        return 1;
    }
    my ($state, $error) = ($dbh->state, $@);
    $dbh->rollback;
    return 1 if $state eq 'MS020';                        # the lease was lost: another worker has the messages
    die $error if not $failed;                            # no message failed, but the acknowledgement
    $dbh->do('SELECT bank.fail_message(?, ?, ?, ?, ?)', undef, @lease, $failed, $error);
    return 1;
}
my $subscribe = q(SELECT bank.create_subscription(?, categories => ?, retry_delay => '0'));
$dbh->do($subscribe, undef, 'mails', ['account']);
my @handled;
1 while consume(\@handled);
tell_of('consume', handled => \@handled, lost => refused('SELECT bank.acknowledge(?, 0, 1, 1)', 'mails'));

# Wait for a message. The session that listens holds the bell: only then do writers notify.
my $sleeper = connection();
my $pid = $sleeper->{pg_pid};
my ($channel) = $sleeper->selectrow_array('SELECT bank.wake_channel()');
$sleeper->do('LISTEN ' . $sleeper->quote_identifier($channel));
my $look = $sleeper->selectrow_hashref('SELECT * FROM bank.fall_asleep(?)', undef, $pid);
my $wait = $look->{safe_position} <= $page->{looked_position} && !$look->{in_flight};
one($write, 'account-2', 'Opened', $json->encode({ owner => 'Bo' }));    # by somebody else, while this one waits
IO::Select->new($sleeper->{pg_socket})->can_read(10) if $wait;
my $notified = $wait && $sleeper->pg_notifies;
$sleeper->do('SELECT bank.wake_up(?)', undef, $pid);
tell_of('listen', notified => $notified ? JSON::PP::true : JSON::PP::false, messages => [next_page(10)]);
