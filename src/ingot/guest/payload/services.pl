# perl - SOCKET SECONDS REQUEST...
# Has supervisord take up what its configuration says now, and sees whether apps are healthy. In Perl, and given to it on
# its standard input: where machines are emulated a Python program takes seconds to begin, and so do modules. Ends with 0 when all is as it
# should be, with 75 when a check did not pass within the seconds: why not is health.py's to say. Requests, a word each
# followed by its own:
#   join                      starts what is new in the configuration, stops what is gone, and restarts what changed
#   service NAME              whether it runs, or has ended well
#   tcp PORT TIMEOUT          whether something accepts connections there
#   http HOST PORT PATH TIMEOUT   whether a GET is answered with a status from 200 to 299
#   command TEXT TIMEOUT      whether bash runs it to a status of 0
use strict;
use warnings;

my ($place, $seconds, @requests) = @ARGV;

sub call {
    my ($method, $name) = @_;
    my $given = defined $name ? "<param><value><string>$name</string></value></param>" : "";
    my $body = "<methodCall><methodName>supervisor.$method</methodName><params>$given</params></methodCall>";
    my $head = "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: " . length($body) . "\r\n\r\n";
    my $answer = ask(connected(pack("S Z108", 1, $place)), $head . $body) // die "no answer from supervisord: $!\n";
    $answer =~ m{<fault>.*?<string>(.*?)</string>}s and die "supervisord refused $method: $1\n";
    $answer =~ m{<methodResponse>} or die "no answer from supervisord to $method\n";
    return $answer;
}

sub ask {
    my ($socket, $request) = @_;
    $socket && syswrite($socket, $request) or return undef;
    local $/;
    return <$socket>;
}

sub join_configuration {
    my $told = call("reloadConfig");
    my @lists = $told =~ m{<array><data>\s*((?:<value><string>[^<]*</string></value>\s*)*)</data></array>}g;
    my ($added, $changed, $removed) = map { [m{<string>([^<]*)</string>}g] } @lists;
    for my $name (@$changed, @$removed) { call("stopProcessGroup", $name); call("removeProcessGroup", $name) }
    for my $name (@$added, @$changed) { call("addProcessGroup", $name) }
    return 1;
}

sub service_runs {
    my ($name) = @_;
    my $told = call("getProcessInfo", $name);
    my ($state) = $told =~ m{<name>statename</name>\s*<value><string>(\w+)<};
    my ($status) = $told =~ m{<name>exitstatus</name>\s*<value><int>(-?\d+)<};
    exit(75) if $state eq "FATAL" || $state eq "EXITED" && $status;    # waiting longer cannot help
    return $state eq "RUNNING" || $state eq "EXITED";
}

# A stream to an address; its family is the address's first two bytes.
sub connected {
    my ($address) = @_;
    socket(my $socket, unpack("S", $address), 1, 0) or return undef;
    return connect($socket, $address) ? $socket : undef;
}

sub address_of {
    my ($host, $port) = @_;
    my $number = gethostbyname($host) // return "\0" x 16;
    return pack("S n a4 x8", 2, $port, $number);
}

# What the work gives, or undef when it takes too long.
sub within {
    my ($timeout, $work) = @_;
    local $SIG{ALRM} = sub { die "late\n" };
    alarm(int($timeout) + 1);
    my $given = eval { $work->() };
    alarm(0);
    return $given;
}

sub listens {
    my ($port, $timeout) = @_;
    return within($timeout, sub { connected(address_of("127.0.0.1", $port)) });
}

sub answers {
    my ($host, $port, $path, $timeout) = @_;
    my $request = "GET $path HTTP/1.0\r\nHost: " . ($port == 80 ? $host : "$host:$port") . "\r\n\r\n";
    my $told = within($timeout, sub { ask(connected(address_of($host, $port)), $request) });
    return defined $told && $told =~ m{^HTTP/1\.\d 2\d\d\b};
}

sub command_succeeds {
    my ($text, $timeout) = @_;
    return system("timeout", "-k", "1", $timeout, "bash", "-c", "exec >/dev/null 2>&1\n$text") == 0;
}

my %known = (
    join => [0, \&join_configuration],
    service => [1, \&service_runs],
    tcp => [2, \&listens],
    http => [4, \&answers],
    command => [2, \&command_succeeds],
);
open(STDIN, "<", "/dev/null");
my $end = time + $seconds;
while (@requests) {
    my ($count, $work) = @{$known{$requests[0]}};
    if ($work->(@requests[1 .. $count])) { splice(@requests, 0, $count + 1); next }
    exit(75) if time >= $end;
    select(undef, undef, undef, 0.1);
}
