# perl - PORT GROUP COLS ROWS
# Serves one terminal through a virtio port of its own: a login shell of root in a control group of its own. Given to perl
# on its standard input when a terminal is opened, so it is no part of a base image. Frames, both ways: a letter, the
# length in two bytes (big-endian), and as many bytes:
#   from the host   i: typed bytes      r: COLS ROWS
#   to the host     o: what it shows    x: the shell's exit status, the last frame
# When the host goes away the terminal is hung up, and a moment later all that still runs in the group is killed.
# It is over when the shell is: what runs on behind it may hold the terminal, and show more without an end.
use strict;
use warnings;
use constant { MOST => 65536, LAST_WORDS => 262144, AGAIN => 11, NOCTTY => 0400, NONBLOCK => 04000, RDWR => 2 };

my ($name, $group, $cols, $rows) = @ARGV;
my $path = "/dev/virtio-ports/$name";
$SIG{PIPE} = "IGNORE";
$SIG{CHLD} = sub { };    # interrupts a wait

sub rest { select(undef, undef, undef, 0.02) }

sub put {
    my ($place, $text) = @_;
    open(my $file, ">", $place) or return;
    print $file $text;
    close($file);
}

for (1 .. 500) { last if -e $path; rest() }
sysopen(my $port, $path, RDWR | NONBLOCK) or die "$path: $!\n";
sysopen(my $master, "/dev/ptmx", RDWR | NOCTTY | NONBLOCK) or die "/dev/ptmx: $!\n";
my $number = pack("i", 0);
ioctl($master, 0x40045431, $number) or die "TIOCSPTLCK: $!\n";
ioctl($master, 0x80045430, $number) or die "TIOCGPTN: $!\n";
my $slave = "/dev/pts/" . unpack("i", $number);

sub resize { ioctl($master, 0x5414, pack("S4", $_[1], $_[0], 0, 0)) }

# Bytes are wide characters to a line editor that counts columns: IUTF8 is the 15th bit of the input flags.
sub prepare {
    my $modes = "\0" x 60;
    ioctl($master, 0x5401, $modes) or return;
    my ($input, @others) = unpack("I a*", $modes);
    ioctl($master, 0x5402, pack("I a*", $input | 0x4000, @others));
}

sub become_shell {
    syscall(112);    # setsid
    close($port);
    open(my $tty, "+<", $slave) or die "$slave: $!\n";
    ioctl($tty, 0x540E, 0);    # TIOCSCTTY
    close($master);
    open(STDIN, "<&", $tty) and open(STDOUT, ">&", $tty) and open(STDERR, ">&", $tty) or die "$slave: $!\n";
    close($tty);
    $SIG{PIPE} = $SIG{CHLD} = "DEFAULT";
    mkdir($group);
    put("$group/cgroup.procs", $$);
    put("/proc/self/oom_score_adj", 500);
    exec("/bin/sh", "-c", 'ulimit -n 65536 2>/dev/null; cd; exec /bin/bash --login') or exit 127;
}

resize($cols, $rows);
prepare();
my $shell = fork() // die "fork: $!\n";
become_shell() if !$shell;

my ($held, $typed, $shown, $met, $over) = ("", "", "", 0, 0);
my ($ended, $status, $left) = (0, 137, LAST_WORDS);

# Whether the shell has ended.
sub ended {
    return 1 if $ended;
    my $found = waitpid($shell, 1);
    $status = $? & 127 ? 128 + ($? & 127) : $? >> 8 if $found == $shell;
    return $ended = $found != 0;
}

# Undef: nothing now. Empty: the other side is gone.
sub take {
    my ($from) = @_;
    my $count = sysread($from, my $chunk, 16384);
    return defined $count ? $chunk : $! == AGAIN ? undef : "";
}

sub give {
    my ($to, $bytes) = @_;
    my $count = syswrite($to, $$bytes, 16384);
    substr($$bytes, 0, $count, "") if $count;
    return defined $count || $! == AGAIN;
}

sub obey {
    while (length $held >= 3) {
        my ($kind, $length) = unpack("a n", $held);
        last if length $held < 3 + $length;
        my $body = substr($held, 3, $length);
        substr($held, 0, 3 + $length, "");
        $typed .= $body if $kind eq "i";
        resize(split(" ", $body)) if $kind eq "r";
    }
}

sub wanted { my $bits = ""; vec($bits, fileno($_), 1) = 1 for @_; return $bits }

# Reads what the terminal shows next. `$readable`: it shows something; `$last`: nothing more is to be expected.
sub look {
    my ($readable, $last) = @_;
    my $chunk = $readable ? take($master) : undef;
    if (defined $chunk && $chunk ne "") {
        $shown .= pack("a n", "o", length $chunk) . $chunk;
        $left -= length $chunk if $last;
    }
    $over = 1 if defined $chunk && $chunk eq "" || $last && (!defined $chunk || $left <= 0);
}

# Whether there is more to come from either side.
sub serve {
    my $room = length $shown < MOST;
    my $last = $room && ended();
    my $readable = wanted((length $typed < MOST ? $port : ()), ($room ? $master : ()));
    my $writable = wanted((length $shown ? $port : ()), (length $typed ? $master : ()));
    select($readable, $writable, undef, $last ? 0 : 1) < 0 and return 1;
    if (vec($readable, fileno($port), 1)) {
        my $chunk = take($port);
        if (defined $chunk && $chunk eq "") { return 0 if $met; rest() }    # it may be about to come
        elsif (defined $chunk) { $met = 1; $held .= $chunk; obey() }
    }
    look(vec($readable, fileno($master), 1), $last) if $room;
    if (vec($writable, fileno($master), 1)) { give($master, \$typed) or $typed = "" }
    if (vec($writable, fileno($port), 1)) { give($port, \$shown) or return 0 }
    return !$over;
}

sub reap {
    for (1 .. $_[0]) {
        return 1 if ended();
        rest();
    }
    return 0;
}

sub finish {
    reap(250);
    $shown .= pack("a n", "x", length $status) . $status;
    for (1 .. 3000) {    # the host reads it all, and goes
        my $readable = wanted($port);
        my $writable = length $shown ? $readable : undef;
        select($readable, $writable, undef, 0.2);
        give($port, \$shown) or last if length $shown;
        my $chunk = take($port);
        last if defined $chunk && $chunk eq "";
    }
}

sub hang_up {
    close($master);
    reap(50);
    put("$group/cgroup.kill", 1);
    reap(100);
    for (1 .. 150) { last if rmdir($group) || !-e $group; rest() }    # what was killed goes in its own time
}

1 while serve();
$over ? finish() : hang_up();
rmdir($group) or rest(), rmdir($group);
