# perl - END NUMBER PATH [NUMBER PATH...]
# Copies files as they grow, from their beginning. One may not be there yet, be replaced or be emptied. As soon as the
# file END is there, what the others have by then is copied, END is removed, and this ends.
# Each piece comes behind its file's NUMBER and its length, 32 bits each, the highest first. Given to perl on its standard
# input, and one process for all files: commands that can run at once are few in virtual machines.
use strict;
use warnings;
use Fcntl;

my $end = shift(@ARGV);
my @followed;
while (my ($number, $path) = splice(@ARGV, 0, 2)) {
    push(@followed, { number => $number, path => $path, known => "", at => 0 });
}

# The next bytes of a file; none where there are none yet.
sub piece {
    my ($one) = @_;
    my $file = $one->{file} or return "";
    $one->{at} = sysseek($file, 0, 0) + 0 if -s $file < $one->{at};
    my $count = sysread($file, my $bytes, 65536) // return "";
    $one->{at} += $count;
    return $bytes;
}

# Opens what is at the path now. The one before was read to its end.
sub renew {
    my ($one) = @_;
    my ($device, $inode) = stat($one->{path});
    return if !-f _ || "$device $inode" eq $one->{known};
    sysopen(my $file, $one->{path}, O_RDONLY | O_NONBLOCK) or return;
    $one->{known} = join(" ", (stat($file))[0, 1]);
    @$one{qw(file at)} = ($file, 0);
}

sub give {
    my ($bytes) = @_;
    while (length $bytes) {
        my $count = syswrite(STDOUT, $bytes) // exit(1);
        substr($bytes, 0, $count, "");
    }
}

# Copies the next bytes of a file, and returns how many they are.
sub pass {
    my ($one) = @_;
    my $bytes = piece($one);
    give(pack("NN", $one->{number}, length $bytes) . $bytes) if length $bytes;
    return length $bytes;
}

# Copies what a file has now; it may grow on.
sub finish {
    my ($one) = @_;
    my $size = $one->{file} ? -s $one->{file} : 0;
    1 while $one->{at} < $size && pass($one);
}

until (-e $end) {
    my $passed = 0;
    pass($_) ? $passed = 1 : renew($_) for @followed;
    select(undef, undef, undef, 0.1) if !$passed;
}
for my $one (@followed) {
    finish($one);
    renew($one);
    finish($one);
}
unlink($end);
